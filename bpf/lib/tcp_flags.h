/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP's flags, as struct tcphdr has them. */
#pragma once

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
};
