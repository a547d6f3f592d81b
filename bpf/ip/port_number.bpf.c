// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which published port a connection is counted for, one family. A function of its own: its callers are many, and long enough. */
#include "../lib/endpoint.h"
#include "../lib/ports.h"

/* 0: none. What was dialled once may be published to another container, or its other port, by now. */
__noinline int FAMILY_NAME(port_number)(const struct OF_FAMILY(dialled) * dialled)
{
	const port_t *port;

	if (!dialled)
		return 0;
	port = port_find(&dialled->address, dialled->port, dialled->proto);
	if (!port || port->port != dialled->container_port || !address_equal(&port->address, &dialled->container))
		return 0;
	return endpoint_get(port->slot, port->generation) ? port->number : 0;
}
