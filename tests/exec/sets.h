// tests/exec/sets.h: kernels are tested as compiled for every instruction set.
#pragma once

// Runs a group of tests with every set of kernels that this processor has; returns how many failed.
int on_every_set(int (*group)(void));
