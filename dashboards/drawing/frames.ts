// What Prometheus said, as Grafana's data frames, with the configuration of the panel applied to its fields.
import {
  applyFieldOverrides,
  type DataFrame,
  type Field,
  type FieldConfigPropertyItem,
  FieldConfigOptionsRegistry,
  type FieldConfigSource,
  FieldType,
  type GrafanaTheme2,
  renderLegendFormat,
} from "@grafana/data";
import type { Answer, Panel, Series, Target } from "./model";

/** What Grafana adds to the fields of a panel that does not say otherwise. */
const DEFAULTS: Record<string, Partial<FieldConfigSource["defaults"]>> = {
  timeseries: {
    color: { mode: "palette-classic" as never },
    custom: {
      drawStyle: "line",
      lineInterpolation: "linear",
      lineWidth: 1,
      fillOpacity: 0,
      gradientMode: "none",
      spanNulls: false,
      showPoints: "auto",
      pointSize: 5,
      axisPlacement: "auto",
      stacking: { mode: "none", group: "A" },
      scaleDistribution: { type: "linear" },
      thresholdsStyle: { mode: "off" },
    },
  },
  stat: { color: { mode: "thresholds" as never } },
};

const STANDARD = ["unit", "min", "max", "decimals", "displayName", "color", "thresholds", "mappings", "noValue", "links"];

export function configuration(panel: Panel): FieldConfigSource {
  const given = panel.fieldConfig as FieldConfigSource;
  const added = DEFAULTS[panel.type];
  const defaults = { ...added, ...given.defaults, custom: { ...added.custom, ...given.defaults.custom } };
  return { defaults, overrides: given.overrides };
}

export function frames(panel: Panel, answers: Record<string, Answer>, theme: GrafanaTheme2): DataFrame[] {
  const fieldConfig = configuration(panel);
  return applyFieldOverrides({
    data: (panel.targets as unknown as Target[]).flatMap((target) => framesOf(target, answers[target.refId])),
    fieldConfig,
    fieldConfigRegistry: properties(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: "utc",
  });
}

function framesOf(target: Target, answer: Answer): DataFrame[] {
  return answer.series.map((series) => {
    const legend = target.legendFormat ? renderLegendFormat(target.legendFormat, series.metric) : undefined;
    const fields = [times(series, answer.step_s), numbers(series, legend)];
    return { refId: target.refId, fields, length: series.values.length };
  });
}

function times(series: Series, step_s: number): Field {
  const values = series.values.map(([time_s]) => time_s * 1000);
  return { name: "Time", type: FieldType.time, config: { interval: step_s * 1000 }, values };
}

function numbers(series: Series, legend: string | undefined): Field {
  const values = series.values.map(([, value]) => Number(value));
  return {
    name: "Value",
    type: FieldType.number,
    config: { displayNameFromDS: legend },
    labels: series.metric,
    values: values.map((value) => (Number.isNaN(value) ? null : value)),
  };
}

/** The properties that a field can have: those that Grafana knows for all panels, and those that this one names. */
function properties({ defaults, overrides }: FieldConfigSource): FieldConfigOptionsRegistry {
  const overridden = overrides.flatMap((override) => override.properties.map((property) => property.id));
  const custom = Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`);
  return new FieldConfigOptionsRegistry(() => [...new Set([...STANDARD, ...custom, ...overridden])].map(property));
}

function property(id: string): FieldConfigPropertyItem {
  const isCustom = id.startsWith("custom.");
  const path = isCustom ? id.slice("custom.".length) : id;
  const process = (value: unknown) => value;
  return { id, path, name: id, isCustom, process, shouldApply: () => true, editor: () => null, override: () => null };
}
