/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

int main(void)
{
	fputs("weftd: not assembled yet\n", stderr);
	return 1;
}
