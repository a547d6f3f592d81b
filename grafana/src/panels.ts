/** The few kinds of panels that the dashboards are made of; each has a title, a description, a unit and its queries. */
import type * as cog from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as prometheus from "@grafana/grafana-foundation-sdk/prometheus";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as table from "@grafana/grafana-foundation-sdk/table";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";

export type Panel = cog.Builder<dashboard.Panel>;

/** A query of Prometheus' and what its series are called. */
export interface Query {
  expr: string;
  legend?: string;
}

export interface PanelText {
  title: string;
  /** What it shows and what a reader is to conclude. */
  description: string;
  /** Grafana's name of the unit. */
  unit: string;
  queries: Query[];
}

/** The variable `datasource` of every dashboard. */
export const datasource = { type: "prometheus", uid: "$datasource" };

/** Colours in the order of bad news: green, then orange and red from these values on. */
export interface Limits {
  orange: number;
  red: number;
}

function target({ expr, legend }: Query, index: number, instant: boolean): cog.Builder<cog.Dataquery> {
  const query = new prometheus.DataqueryBuilder()
    .datasource(datasource)
    .expr(expr)
    .refId(String.fromCharCode(65 + index))
    .legendFormat(legend ?? "__auto");
  return instant ? query.instant().format(prometheus.PromQueryFormat.Table) : query.range();
}

function thresholds({ orange, red }: Limits): cog.Builder<dashboard.ThresholdsConfig> {
  // Where little is bad, the colours come the other way round.
  const steps =
    orange < red
      ? [
          { value: null, color: "green" },
          { value: orange, color: "orange" },
          { value: red, color: "red" },
        ]
      : [
          { value: null, color: "red" },
          { value: red, color: "orange" },
          { value: orange, color: "green" },
        ];
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps);
}

/** One figure, with a colour that says whether it is well: four in a row, or eight narrow ones. */
export function figure(
  text: PanelText & { limits?: Limits; words?: Record<string, string>; narrow?: boolean },
): Panel {
  const panel = new stat.PanelBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(datasource)
    .unit(text.unit)
    .height(4)
    .span(text.narrow === true ? 3 : 6)
    .graphMode(common.BigValueGraphMode.Area)
    .colorMode(common.BigValueColorMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(["lastNotNull"]))
    .targets(text.queries.map((query, index) => target(query, index, false)));
  if (text.limits === undefined)
    panel.colorScheme(
      new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Fixed).fixedColor("blue"),
    );
  else panel.thresholds(thresholds(text.limits));
  if (text.words !== undefined) {
    const options = Object.fromEntries(
      Object.entries(text.words).map(([value, word], index) => [value, { text: word, index }]),
    );
    panel.mappings([{ type: dashboard.MappingType.ValueToText, options }]);
  }
  return panel;
}

/** Lines over time; `stacked`: areas on top of each other, for parts of a whole. `link` leads from a series to what it is about. */
export function lines(
  text: PanelText & {
    stacked?: boolean;
    max?: number;
    link?: { title: string; url: string };
    wide?: boolean;
  },
): Panel {
  const panel = new timeseries.PanelBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(datasource)
    .unit(text.unit)
    .min(0)
    .height(8)
    .span(text.wide === true ? 24 : 12)
    .lineWidth(1)
    .fillOpacity(text.stacked === true ? 30 : 10)
    .showPoints(common.VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(["mean", "max", "lastNotNull"]),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    )
    .targets(text.queries.map((query, index) => target(query, index, false)));
  if (text.stacked === true)
    panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group("A"));
  if (text.max !== undefined) panel.max(text.max);
  if (text.link !== undefined)
    panel.dataLinks([new dashboard.DashboardLinkBuilder(text.link.title).url(text.link.url)]);
  return panel;
}

/** A table of labels, one row a series, as of now. `hidden` are columns that say nothing here. */
export function rows(text: PanelText & { hidden?: string[]; names?: Record<string, string> }): Panel {
  const excluded = ["Time", "__name__", "job", "instance", ...(text.hidden ?? [])];
  return new table.PanelBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(datasource)
    .unit(text.unit)
    .height(9)
    .span(24)
    .targets(text.queries.map((query, index) => target(query, index, true)))
    .withTransformation({
      id: "organize",
      options: {
        excludeByName: Object.fromEntries(excluded.map((name) => [name, true])),
        renameByName: text.names ?? {},
      },
    });
}

/** A table of figures by two labels, as of now: a row for each value of the one, a column for each of the other. */
export function matrix(
  text: Omit<PanelText, "queries"> & { row: string; column: string; query: Query },
): Panel {
  return new table.PanelBuilder()
    .title(text.title)
    .description(text.description)
    .datasource(datasource)
    .unit(text.unit)
    .height(9)
    .span(24)
    .targets([target(text.query, 0, true)])
    .withTransformation({
      id: "groupingToMatrix",
      options: { rowField: text.row, columnField: text.column, valueField: "Value", emptyValue: "empty" },
    });
}
