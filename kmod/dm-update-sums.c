// SPDX-License-Identifier: GPL-2.0-only
/* This module's own copy of what plat.h promises. */
#include "plat-sums.h"
