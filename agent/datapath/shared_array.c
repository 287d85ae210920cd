/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/shared_array.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define STEP ((size_t)256 * 1024)

int shared_array_open(struct shared_array *array, int fd, size_t value_size, uint32_t capacity)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), stride = (value_size + 7) / 8 * 8;
	size_t size = (stride * capacity + page - 1) / page * page;
	void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	*array = (struct shared_array){ .base = base, .size = size, .value_size = stride, .capacity = capacity, .fd = fd };
	return 0;
}

void shared_array_close(struct shared_array *array)
{
	if (array->base)
		munmap(array->base, array->size);
	*array = (struct shared_array){ 0 };
}

static int map_up_to(struct shared_array *array, size_t end)
{
	size_t wanted = (end + STEP - 1) / STEP * STEP;

	if (wanted > array->size)
		wanted = array->size;
	if (mmap(array->base + array->mapped, wanted - array->mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 array->fd, (off_t)array->mapped) == MAP_FAILED)
		return -errno;
	array->mapped = wanted;
	return 0;
}

void *shared_array_at(struct shared_array *array, uint32_t first, uint32_t count)
{
	size_t end = ((size_t)first + count) * array->value_size;

	if (count > array->capacity || first > array->capacity - count)
		return NULL;
	if (end > array->mapped && map_up_to(array, end) < 0)
		return NULL;
	return array->base + first * array->value_size;
}
