#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H

#include <stdint.h>

/// Allocations of the calling thread since its start; 0 for ever where they cannot be counted.
uint64_t callocations_count(void);

#endif
