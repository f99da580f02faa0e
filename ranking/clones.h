// FOVEA_CLONES before a function: it is compiled for three instruction sets, and the program picks
// one when it starts. For loops over a row; they say `#pragma omp simd` where order may change.
#pragma once

// Sanitizers start after the resolvers that pick a clone would already have run.
#if defined(FOVEA_SANITIZED) || !defined(__x86_64__)
#define FOVEA_CLONES
#else
#define FOVEA_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#endif
