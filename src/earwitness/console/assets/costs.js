// Reads the picture of costs: what the threshold costs that somebody points at. Without script the table has the numbers.
(() => {
  "use strict";
  const place = document.getElementById("costs");
  const data = document.getElementById("costs-data");
  if (!place || !data || !window.uPlot) return;
  const { scores, costs, misses, falseAlarms, best, low, high, top } = JSON.parse(data.textContent);
  const told = document.getElementById("at");
  const hint = told.textContent;
  told.classList.remove("off");
  const share = (value) => `${Number((100 * value).toPrecision(3))} %`;

  const tell = (plot) => {
    const i = plot.cursor.idx;
    const far = i === null || i === undefined || plot.cursor.left < 0;
    told.textContent = far ? hint : `Threshold ${scores[i].toFixed(2)}: costs ${Number(costs[i].toPrecision(3))}, misses ${share(misses[i])}, lets ${share(falseAlarms[i])} through.`;
  };

  let plot;
  const draw = () => {
    // The box of the picture that was there, so that nothing moves.
    const { width, height } = place.getBoundingClientRect();
    place.style.height = `${height}px`;
    const look = getComputedStyle(document.documentElement);
    const color = (name) => look.getPropertyValue(name).trim();
    const font = `12px ${color("--sans")}`;
    const drawBest = (drawn) => {
      const pen = drawn.ctx;
      const { top: y, height: whole } = drawn.bbox;
      const x = (score) => drawn.valToPos(score, "x", true);
      pen.save();
      pen.fillStyle = pen.strokeStyle = color("--match");
      pen.globalAlpha = 0.16;
      pen.fillRect(x(low), y, Math.max(1, x(high) - x(low)), whole);
      pen.globalAlpha = 1;
      pen.setLineDash([5, 4]);
      pen.beginPath();
      pen.moveTo(x(best), y);
      pen.lineTo(x(best), y + whole);
      pen.stroke();
      pen.restore();
    };
    const axis = { stroke: color("--quiet"), font, grid: { stroke: color("--line") }, ticks: { stroke: color("--line") } };
    const options = {
      width,
      height,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: [0, top] } },
      axes: [axis, { ...axis, size: 58, values: (_, all) => all.map((one) => String(Number(one.toPrecision(2)))) }],
      series: [{}, { stroke: color("--accent"), width: 2 }],
      hooks: { drawClear: [drawBest], setCursor: [tell] },
    };
    if (plot) plot.destroy();
    place.replaceChildren();
    plot = new uPlot(options, [scores, costs], place);
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
})();
