/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

/*
 * In skb->tc_index: what we redirect to an uplink meets uplink_egress, which has nothing to learn from it. What we have
 * delivered by a parent's receive path meets parent_ingress, and is counted.
 */
#define FORWARDED 0xfa1
