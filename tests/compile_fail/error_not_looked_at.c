/* SPDX-License-Identifier: MIT */
/*
 * Whoever calls what may fail looks at the result.
 *
 * EXPECT: ignoring return value of 'frame_alloc_try'
 */
#include "mm/frame_alloc.h"

hpa_t frame_or_nothing(void);

hpa_t frame_or_nothing(void)
{
	hpa_t frame = hpa(0);

#ifdef WRONG
	frame_alloc_try(FRAME_4K, &frame);
#else
	if (frame_alloc_try(FRAME_4K, &frame) != OK)
		return hpa(0);
#endif
	return frame;
}
