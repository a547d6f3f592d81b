/** What all dashboards have in common: variables, links between them, annotations. */
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import { datasource, type Panel } from "./panels.js";

/** A row of panels under a heading. */
export interface Section {
  title: string;
  panels: Panel[];
}

export type Variable = "network" | "project" | "container";

export interface Dashboard {
  /** Also the file's name. */
  uid: string;
  title: string;
  description: string;
  /** Besides `datasource` and `instance`, from the widest to the narrowest. */
  variables: Variable[];
  sections: Section[];
}

const TAG = "fairway";

/** Selects what the variables have chosen; for metrics with all of these labels. */
export function selected(variables: readonly Variable[], more = ""): string {
  const parts = ["instance", ...variables].map((name) => `${name}=~"$${name}"`);
  return `{${[...parts, ...(more === "" ? [] : [more])].join(",")}}`;
}

/** The dashboard as Grafana stores it. */
export function build(page: Dashboard): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(page.title)
    .uid(page.uid)
    .description(page.description)
    .tags([TAG])
    .editable()
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .time({ from: "now-1h", to: "now" })
    .refresh("30s")
    .timezone("browser")
    .link(
      new dashboard.DashboardLinkBuilder("fairway")
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    );
  for (const variable of variables(page.variables)) builder.withVariable(variable);
  for (const annotation of annotations(page.variables)) builder.annotation(annotation);
  for (const { title, panels } of page.sections) {
    builder.withRow(new dashboard.RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel);
  }
  const built = builder.build();
  // Links to a panel and its alerts hold on to this number.
  const panels = (built.panels ?? []).map((panel, index) => ({ ...panel, id: index + 1 }));
  return { ...built, panels };
}

function variables(names: readonly Variable[]) {
  const source = new dashboard.DatasourceVariableBuilder("datasource").label("Prometheus").type("prometheus");
  const queries = (["instance", ...names] as const).map((name, index, all) => {
    // Each offers what there is of it within what those before have chosen.
    const within = all.slice(0, index).map((wider) => `${wider}=~"$${wider}"`);
    const metric = name === "instance" ? "fairway_build_info" : `fairway_endpoint_info{${within.join(",")}}`;
    const query = `label_values(${metric}, ${name})`;
    return new dashboard.QueryVariableBuilder(name)
      .label(name)
      .datasource(datasource)
      .query({ query, refId: name })
      .definition(query)
      .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
      .sort(dashboard.VariableSort.AlphabeticalAsc)
      .multi(true)
      .includeAll(true)
      .allValue(".*")
      .current({ selected: true, text: ["All"], value: ["$__all"] });
  });
  return [source, ...queries];
}

function annotations(names: readonly Variable[]) {
  const info = `fairway_endpoint_info${selected(names)}`;
  const made = (name: string, expr: string, colour: string, text: string) =>
    new dashboard.AnnotationQueryBuilder()
      .name(name)
      .datasource(datasource)
      .enable(true)
      .iconColor(colour)
      .expr(expr)
      .step("60s")
      .titleFormat(text)
      .textFormat("{{container}} on {{network}}")
      .target(new prometheus.DataqueryBuilder().datasource(datasource).expr(expr).refId("Anno"));
  return [
    made("Container starts", `${info} unless ${info} offset 1m`, "green", "container started"),
    made("Container stops", `${info} offset 1m unless ${info}`, "red", "container stopped"),
  ];
}
