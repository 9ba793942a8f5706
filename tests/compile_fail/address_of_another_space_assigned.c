/* SPDX-License-Identifier: MIT */
/*
 * One address space is not assigned to another, cast or not.
 *
 * EXPECT: conversion to non-scalar type requested
 */
#include "mm/addr.h"

gpa_t l1_address(ngpa_t address);

gpa_t l1_address(ngpa_t address)
{
#ifdef WRONG
	return (gpa_t)address;
#else
	(void)address;
	return gpa(0);
#endif
}
