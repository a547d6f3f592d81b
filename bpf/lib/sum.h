/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ones' complement sums of 16-bit words, of which the Internet's checksums are made (RFC 1071), and their differences (RFC 1624). */
#pragma once

#include "family.h"

/* What a difference of nothing folds to: zero, as it comes about by adding. */
#define NO_DIFFERENCE 0xffff

/* A sum of up to 65,536 words, folded into one. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* The same of up to 65,536 words of 32 bits each, which are two. */
static __always_inline __u16 fold_wide(__u64 sum)
{
	return fold((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32));
}

/* What replacing one word by another adds to a sum. */
static __always_inline __u32 word_difference(__u16 from, __u16 to)
{
	return (__u16)~from + to;
}

/* The same of an address. */
static __always_inline __u32 address_difference(const address_t *from, const address_t *to)
{
	__u32 sum = 0;

	for (int i = 0; i < ADDRESS_WORDS; i++) {
		sum += word_difference(from->word[i], to->word[i]);
		sum += word_difference(from->word[i] >> 16, to->word[i] >> 16);
	}
	return sum;
}
