// Annotations as Grafana makes them of series, and as it shows them: a dashed line at either end, and a bar below.
import { useLayoutEffect } from "react";
import { colorManipulator } from "@grafana/data";
import { type UPlotConfigBuilder, useTheme2 } from "@grafana/ui";
import type { AnnotationQuery, Answer } from "./model";

export interface Event {
  from_ms: number;
  to_ms: number;
  color: string;
}

const BAR_HEIGHT = 5;

/** Moments with a positive value that are no more than a step apart are one event. */
export function events(annotation: AnnotationQuery, { series, step_s }: Answer): Event[] {
  return series.flatMap(({ values }) => {
    const found: Event[] = [];
    for (const [time_s] of values.filter(([, value]) => Number(value) > 0)) {
      const last = found.at(-1);
      if (last !== undefined && last.to_ms + step_s * 1000 >= time_s * 1000) {
        last.to_ms = time_s * 1000;
      } else {
        found.push({ from_ms: time_s * 1000, to_ms: time_s * 1000, color: annotation.iconColor });
      }
    }
    return found;
  });
}

export function Annotations({ config, events }: { config: UPlotConfigBuilder; events: Event[] }) {
  const { visualization } = useTheme2();
  useLayoutEffect(() => {
    config.addHook("draw", ({ ctx, bbox, valToPos }) => {
      const bar = BAR_HEIGHT * devicePixelRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height + bar);
      ctx.clip();
      ctx.lineWidth = 2;
      ctx.setLineDash([5, 5]);
      for (const { from_ms, to_ms, color } of events) {
        const [left, right] = [from_ms, to_ms].map((time) => valToPos(time, "x", true));
        ctx.strokeStyle = visualization.getColorByName(color);
        for (const x of new Set([left, right])) {
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.fillStyle = colorManipulator.alpha(ctx.strokeStyle, 0.1);
        ctx.fillRect(left, bbox.top, right - left, bbox.height);
        ctx.fillStyle = ctx.strokeStyle;
        ctx.fillRect(left - 1, bbox.top + bbox.height, Math.max(right - left, 2), bar);
      }
      ctx.restore();
    });
  }, [config, events, visualization]);
  return null;
}
