/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#pragma once

/* What parent_transmit says of a packet that can't go on, less the reason: no verdict of tc's. parent_refuse goes on with it. */
#define REFUSED 200
