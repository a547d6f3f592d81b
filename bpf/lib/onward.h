/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

/* What parent_transmit says of a packet that another function goes on with: no verdict of tc's, which are less. */

/* It can't go on: and the reason. parent_refuse goes on with it. */
#define REFUSED 200
/* It may be translated: and its sender's slot. parent_translate goes on with it. */
#define TRANSLATED 0x10000
