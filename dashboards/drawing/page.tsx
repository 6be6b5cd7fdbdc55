// The page: a dashboard on Grafana's grid, with its variables and annotations at the top.
import "@fontsource/inter/latin-400.css";
import "@fontsource/inter/latin-500.css";
import { createRoot } from "react-dom/client";
import { createTheme, ThemeContext } from "@grafana/data";
import { GlobalStyles, InlineLabel, InlineSwitch, Input, PortalContainer, Text } from "@grafana/ui";
import { events } from "./annotations";
import type { Drawing, Panel } from "./model";
import { Framed, timeRange } from "./panels";

declare global {
  interface Window {
    drawing: Drawing;
  }
}

const WIDTH = 1600;
const COLUMNS = 24;
const CELL_HEIGHT = 30;
const GAP = 8;
const MARGIN = 16;
const HEADER_HEIGHT = 88;
const COLUMN_WIDTH = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;

const across = (cells: number, cell: number) => cells * cell + (cells - 1) * GAP;

function Page({ drawing }: { drawing: Drawing }) {
  const { dashboard, from_ms, to_ms } = drawing;
  const annotations = (dashboard.annotations?.list ?? []).filter(({ name }) => name in drawing.annotations);
  const marked = annotations.flatMap((annotation) => events(annotation, drawing.annotations[annotation.name]));
  const panels = dashboard.panels as Panel[];
  const bottom = Math.max(...panels.map(({ gridPos }) => gridPos!.y + gridPos!.h));
  const height = HEADER_HEIGHT + across(bottom, CELL_HEIGHT) + MARGIN;
  return (
    <div id="dashboard" style={{ position: "relative", width: WIDTH, height }}>
      <Header drawing={drawing} annotations={annotations} />
      {panels.map((panel, index) => {
        const { x, y, w, h } = panel.gridPos!;
        const left = MARGIN + x * (COLUMN_WIDTH + GAP);
        const top = HEADER_HEIGHT + y * (CELL_HEIGHT + GAP);
        const size = { width: across(w, COLUMN_WIDTH), height: across(h, CELL_HEIGHT) };
        const range = timeRange(from_ms, to_ms);
        return (
          <div key={index} style={{ position: "absolute", left, top, ...size }}>
            <Framed panel={panel} answers={drawing.panels[index]} timeRange={range} events={marked} {...size} />
          </div>
        );
      })}
    </div>
  );
}

function Header({ drawing, annotations }: { drawing: Drawing; annotations: Array<{ name: string; iconColor: string }> }) {
  const { visualization } = createTheme();
  const clock = (time_ms: number) => new Date(time_ms).toISOString().slice(0, 19).replace("T", " ");
  const row = { display: "flex", gap: GAP, alignItems: "center", height: 32, marginTop: GAP };
  return (
    <div style={{ padding: `0 ${MARGIN}px` }}>
      <div style={{ ...row, justifyContent: "space-between" }}>
        <Text element="h4">{drawing.dashboard.title ?? ""}</Text>
        <Text>{`${clock(drawing.from_ms)} to ${clock(drawing.to_ms)} UTC`}</Text>
      </div>
      <div style={row}>
        {Object.entries(drawing.variables).map(([name, value]) => (
          <div key={name} style={{ display: "flex" }}>
            <InlineLabel width="auto">{name}</InlineLabel>
            <Input readOnly value={value} width={value.length > 10 ? 30 : 12} />
          </div>
        ))}
        {annotations.map(({ name, iconColor }) => (
          <div key={name} style={{ borderLeft: `4px solid ${visualization.getColorByName(iconColor)}` }}>
            <InlineSwitch label={name} showLabel value readOnly />
          </div>
        ))}
      </div>
    </div>
  );
}

createRoot(document.getElementById("root")!).render(
  <ThemeContext.Provider value={createTheme({ colors: { mode: "dark" } })}>
    <GlobalStyles />
    <Page drawing={window.drawing} />
    <PortalContainer />
  </ThemeContext.Provider>,
);
