/** Expressions that several dashboards ask. `s` is a selector, "{...}". */

/** A rate over what Grafana thinks right for the resolution. */
export const rate = (metric: string, s: string) => `rate(${metric}${s}[$__rate_interval])`;

/** Packets a second of both directions, by the labels named. */
export const packets = (s: string, by: string) =>
  `sum by (${by}) (${rate("fairway_endpoint_receive_packets_total", s)} + ${rate("fairway_endpoint_transmit_packets_total", s)})`;

/** With a line at zero where there is nothing to show, called `name`: an empty panel would leave open whether it works. */
export const orNothing = (expr: string, label: string, name: string) =>
  `${expr} or on () label_replace(vector(0), "${label}", "${name}", "", "")`;

/** `{...}` with one more condition. */
export const and = (s: string, condition: string) => `${s.slice(0, -1)},${condition}}`;

/** The share of packets on the fast path, 0 to 1; 1 where there are none. */
export const fastShare = (s: string, by = "") => {
  const grouped = by === "" ? "" : ` by (${by})`;
  const all = `sum${grouped} (${rate("fairway_endpoint_receive_packets_total", s)} + ${rate("fairway_endpoint_transmit_packets_total", s)})`;
  const fast = all.replaceAll(s, and(s, 'path="fast"'));
  return `(${fast} / (${all} > 0)) or (${all} * 0 + 1)`;
};

/** Leads to the container of a series. */
export const toContainer = {
  title: "This container",
  // Grafana's own placeholders, not JavaScript's.
  url: "/d/fairway-container?var-container=$" + "{__field.labels.container}&$" + "{__url_time_range}",
};

/** Leads to the network of a series. */
export const toNetwork = {
  title: "This network",
  url: "/d/fairway-network?var-network=$" + "{__field.labels.network}&$" + "{__url_time_range}",
};
