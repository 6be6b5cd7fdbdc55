// What the dashboards must be, put together from Grafana's own types.
import type { AnnotationQuery, Dashboard, DataQuery, FieldConfig, FieldConfigSource, Panel } from "@grafana/schema";
import type { Options as StatOptions } from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type {
  FieldConfig as ChartFieldConfig,
  Options as ChartOptions,
} from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type { AnnotationQuery as KeptAnnotation } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";

/** A type as a file of JSON has it: where the type names a member of an enum, JSON has its value. */
type Json<T> = unknown extends T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : { [Key in keyof T]: Json<T[Key]> };

/** A query for Prometheus. `@grafana/schema` has what all kinds of queries share, and nothing of this one. */
interface Query extends DataQuery {
  expr: string;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
  instant?: boolean;
}

/** An annotation that Prometheus is asked for, with `expr` and `step` as Grafana 11 reads them. */
interface AskedAnnotation extends AnnotationQuery<Query> {
  expr: string;
  step: string;
  titleFormat: string;
}

type PanelOf<Type, Options, Custom> = Omit<Panel, "type" | "targets" | "options" | "fieldConfig"> & {
  type: Type;
  targets: Query[];
  options: Partial<Options>;
  fieldConfig: Omit<FieldConfigSource, "defaults"> & { defaults: Omit<FieldConfig, "custom"> & { custom?: Custom } };
};

export type Checked = Json<
  Omit<Dashboard, "panels" | "annotations"> & {
    panels: Array<PanelOf<"timeseries", ChartOptions, ChartFieldConfig> | PanelOf<"stat", StatOptions, never>>;
    annotations: { list: Array<AskedAnnotation | KeptAnnotation> };
  }
>;
