"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const config = { displayModeBar: false, responsive: false, showTips: false };
  const canvases = [...document.querySelectorAll("[data-plot]")];
  const PLACES = ["top center", "bottom center", "middle right", "middle left",
    "top right", "top left", "bottom right", "bottom left"];

  // Drawing.

  function draw(canvas, width) {
    const { figure, height, wide } = figures[Number(canvas.dataset.plot)];
    const layout = { ...figure.layout, height, width: width || canvas.clientWidth || 600, autosize: false };
    if (layout.width < 420) {
      layout.margin = { ...layout.margin, l: 44, r: 10 };
      layout.font = { ...layout.font, size: 11 };
    }
    const room = layout.width - layout.margin.l - layout.margin.r - (wide ? 110 : 0);
    layout.xaxis = { ...layout.xaxis, ...fewerTicks(layout.xaxis, room) };
    canvas.dataset.drawn = String(layout.width);
    const data = JSON.parse(JSON.stringify(figure.data));
    Plotly.react(canvas, data, layout, config);
    if (placeLabels(canvas, data)) Plotly.newPlot(canvas, data, layout, config);
  }

  // Those ticks of a logarithmic axis that have room beside each other.
  const TICK_PX = 58;
  function fewerTicks(axis, room) {
    if (!axis || axis.type !== "log" || !axis.tickvals) return {};
    const [low, high] = axis.range, kept = [];
    const ticks = axis.tickvals.map((value, at) => (
      { at, px: (Math.log10(value) - low) / (high - low) * room, round: Number.isInteger(Math.log10(value)) }));
    for (const round of [true, false]) {
      for (const tick of ticks) {
        if (tick.round === round && kept.every(({ px }) => Math.abs(px - tick.px) >= TICK_PX)) kept.push(tick);
      }
    }
    kept.sort((one, other) => one.px - other.px);
    return {
      tickvals: kept.map(({ at }) => axis.tickvals[at]), ticktext: kept.map(({ at }) => axis.ticktext[at]), tickangle: 0,
    };
  }

  // Each name beside its mark, where it covers neither a mark nor another name; else it is left to the pointer.
  // Where a mark is only Plotly knows, once it has drawn it.
  function placeLabels(canvas, data) {
    const full = canvas._fullLayout;
    const named = data.map((trace, index) => ({ trace, index }))
      .filter(({ trace }) => String(trace.mode).includes("text"));
    if (!named.length) return false;
    const { xaxis, yaxis } = full;
    const size = 11, bounds = { left: 0, top: -10, right: xaxis._length, bottom: yaxis._length };
    const marks = [];
    for (const { trace, index } of named) {
      trace.x.forEach((x, at) => {
        const mark = trace.marker.size, each = Array.isArray(mark) ? mark[at] : mark;
        marks.push({
          index, at, name: trace.customdata[at],
          x: xaxis.d2p(x), y: yaxis.d2p(trace.y[at]), r: each / 2,
          rank: trace.meta === "front" ? 0 : trace.meta === "dominated" ? 1 : 2,
        });
      });
    }
    const taken = marks.map((mark) => box(mark.x - mark.r, mark.y - mark.r, 2 * mark.r, 2 * mark.r, mark));
    const chosen = new Map(named.map(({ trace, index }) =>
      [index, { text: trace.x.map(() => ""), place: trace.x.map(() => PLACES[0]) }]));
    for (const mark of [...marks].sort((one, other) => one.rank - other.rank || one.x - other.x)) {
      const width = measure(mark.name, size), height = size * 1.3, gap = mark.r + 2;
      for (const place of PLACES) {
        const [vertical, horizontal] = place.split(" ");
        const left = horizontal === "center" ? mark.x - width / 2
          : horizontal === "right" ? mark.x + (vertical === "middle" ? gap + 2 : gap * 0.7)
          : mark.x - width - (vertical === "middle" ? gap + 2 : gap * 0.7);
        const top = vertical === "middle" ? mark.y - height / 2
          : vertical === "top" ? mark.y - gap - height : mark.y + gap;
        const wanted = box(left, top, width, height, mark);
        const inside = left >= bounds.left && left + width <= bounds.right + 14
          && top >= bounds.top && top + height <= bounds.bottom;
        if (inside && !taken.some((other) => other.of !== mark && meet(wanted, other))) {
          taken.push({ ...wanted, of: null });
          chosen.get(mark.index).text[mark.at] = escaped(mark.name);
          chosen.get(mark.index).place[mark.at] = place;
          break;
        }
      }
    }
    for (const { trace, index } of named) {
      trace.text = chosen.get(index).text;
      trace.textposition = chosen.get(index).place;
    }
    return true;
  }

  const pen = document.createElement("canvas").getContext("2d");
  function measure(text, size) {
    pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
    return pen.measureText(text).width + 4;
  }
  function escaped(text) {
    return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  }
  function box(left, top, width, height, of) {
    return { left, top, right: left + width, bottom: top + height, of };
  }
  function meet(one, other) {
    return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
  }

  // A plot is drawn when it comes near the window, and again when its width has changed.
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting && target.dataset.drawn !== String(target.clientWidth)) draw(target);
    }
  }, { rootMargin: "400px" });
  canvases.forEach((canvas) => near.observe(canvas));
  let waiting;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => canvases.forEach((canvas) => {
      if (canvas.dataset.drawn && canvas.clientWidth && canvas.dataset.drawn !== String(canvas.clientWidth)) {
        draw(canvas);
      }
    }), 120);
  });

  // Paper is as wide as A4 without its margins, and shows what is folded.
  const PAPER_PX = 688;
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open]):not(.words)")];
    folded.forEach((each) => { each.open = true; });
    canvases.forEach((canvas) => {
      const wide = figures[Number(canvas.dataset.plot)].wide;
      draw(canvas, wide ? PAPER_PX - 24 : PAPER_PX / 2 - 30);
    });
  });
  window.addEventListener("afterprint", () => {
    folded.forEach((each) => { each.open = false; });
    canvases.forEach((canvas) => { if (canvas.clientWidth) draw(canvas); });
  });

  // Sorting.

  function sort(heading) {
    const table = heading.closest("table"), body = table.tBodies[0];
    const column = [...heading.parentNode.children].indexOf(heading);
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const keyed = [...body.rows].map((row, at) => ({ row, at, key: key(row.cells[column]) }));
    keyed.sort((one, other) => {
      // What was not measured is last, whichever way.
      if (one.key === null || other.key === null) return (one.key === null) - (other.key === null) || one.at - other.at;
      return (descending ? -1 : 1) * compare(one.key, other.key) || one.at - other.at;
    });
    keyed.forEach(({ row }) => body.append(row));
  }
  function key(cell) {
    const text = cell.dataset.key;
    if (text === undefined) return null;
    return cell.classList.contains("number") ? Number(text) : text;
  }
  function compare(one, other) {
    return typeof one === "number" ? one - other : one.localeCompare(other);
  }
  document.querySelectorAll("table.sortable thead th").forEach((heading) => {
    heading.querySelector("button").addEventListener("click", () => sort(heading));
  });
})();
