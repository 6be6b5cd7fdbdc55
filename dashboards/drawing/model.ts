// What `data.py` hands to the page: a dashboard, and what Prometheus said to each of its queries.
import type { AnnotationQuery, Dashboard, Panel } from "@grafana/schema";

export interface Series {
  metric: Record<string, string>;
  values: Array<[number, string]>;
}

export interface Answer {
  step_s: number;
  series: Series[];
}

export interface Drawing {
  dashboard: Dashboard;
  variables: Record<string, string>;
  from_ms: number;
  to_ms: number;
  /** By the position of a panel, and the refId of its query. */
  panels: Array<Record<string, Answer>>;
  /** By the name of an annotation. */
  annotations: Record<string, Answer>;
}

export interface Target {
  refId: string;
  expr: string;
  legendFormat?: string;
}

export type { AnnotationQuery, Panel };
