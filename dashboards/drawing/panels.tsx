// One panel: Grafana's frame, and within it Grafana's component for its kind.
import {
  applyNullInsertThreshold,
  type DataFrame,
  dateTime,
  type FieldDisplay,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  type TimeRange,
  VizOrientation,
} from "@grafana/data";
import type { SingleStatBaseOptions, VizLegendOptions } from "@grafana/schema";
import {
  BigValue,
  BigValueColorMode,
  type BigValueGraphMode,
  BigValueTextMode,
  PanelChrome,
  TimeSeries,
  useTheme2,
  VizRepeater,
} from "@grafana/ui";
import { Annotations, type Event } from "./annotations";
import { configuration, frames } from "./frames";
import type { Answer, Panel } from "./model";

interface Content {
  panel: Panel;
  data: DataFrame[];
  timeRange: TimeRange;
  events: Event[];
  width: number;
  height: number;
}

const KINDS: Record<string, (content: Content) => React.JSX.Element> = { timeseries: Chart, stat: Figure };

export function timeRange(from_ms: number, to_ms: number): TimeRange {
  const [from, to] = [dateTime(from_ms), dateTime(to_ms)];
  return { from, to, raw: { from, to } };
}

export function Framed(props: Omit<Content, "data"> & { answers: Record<string, Answer> }) {
  const { panel, answers, width, height } = props;
  const theme = useTheme2();
  const Kind = KINDS[panel.type];
  if (Kind === undefined) {
    throw new Error(`${panel.title}: no component for ${panel.type}`);
  }
  const data = frames(panel, answers, theme);
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(innerWidth, innerHeight) =>
        data.length === 0 ? (
          <NoData text={panel.fieldConfig?.defaults.noValue} width={innerWidth} height={innerHeight} />
        ) : (
          <Kind {...props} data={data} width={innerWidth} height={innerHeight} />
        )
      }
    </PanelChrome>
  );
}

function NoData({ text = "No data", width, height }: { text?: string; width: number; height: number }) {
  return <div style={{ width, height, display: "grid", placeItems: "center" }}>{text}</div>;
}

function Chart({ panel, data, timeRange, events, width, height }: Content) {
  const { legend } = panel.options as { legend: VizLegendOptions };
  const span = { refFieldPseudoMin: timeRange.from.valueOf(), refFieldPseudoMax: timeRange.to.valueOf() };
  // Where a series has no value for longer than a step, there is a gap: Grafana's panel sees to that before it draws.
  const frames = data.map((frame) => applyNullInsertThreshold({ frame, ...span }));
  return (
    <TimeSeries frames={frames} timeRange={timeRange} timeZone="utc" width={width} height={height} legend={legend}>
      {(config) => <Annotations config={config} events={events} />}
    </TimeSeries>
  );
}

function Figure({ panel, data, width, height }: Content) {
  const theme = useTheme2();
  const options = panel.options as unknown as SingleStatBaseOptions & { graphMode: BigValueGraphMode };
  const values = () =>
    getFieldDisplayValues({
      data,
      fieldConfig: configuration(panel),
      reduceOptions: options.reduceOptions,
      replaceVariables: (text) => text,
      sparkline: options.graphMode !== "none",
      theme,
      timeZone: "utc",
    });
  return (
    <VizRepeater<FieldDisplay, ReturnType<typeof getDisplayValueAlignmentFactors>>
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, alignmentFactors, count, ...size }) => (
        <BigValue
          {...size}
          value={value.display}
          count={count}
          sparkline={value.sparkline}
          alignmentFactors={alignmentFactors}
          colorMode={BigValueColorMode.Value}
          graphMode={options.graphMode}
          textMode={BigValueTextMode.Auto}
          theme={theme}
        />
      )}
      width={width}
      height={height}
      source={data}
      renderCounter={0}
      orientation={VizOrientation.Auto}
      autoGrid
    />
  );
}
