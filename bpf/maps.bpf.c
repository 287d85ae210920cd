// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* All maps and no program: agent/datapath/ creates from this what is not pinned yet; the programs' objects then share it. */
#include "lib/maps.h"

char _license[] SEC("license") = "Dual BSD/GPL";
