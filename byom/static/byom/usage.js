// Draws the two plots of the usage page from the data that the page carries. The tables beside
// them say the same without this file.
(() => {
  const data = JSON.parse(document.getElementById("chart-data")?.textContent || "null");
  if (!data || !window.Chart) return;

  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const money = new Intl.NumberFormat(undefined, {
    style: "currency", currency: "USD", maximumSignificantDigits: 3,
  });
  const seconds = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);
  const day = (iso) => new Date(`${iso}T00:00:00Z`).toLocaleDateString(undefined, {
    day: "numeric", month: "short", timeZone: "UTC",
  });
  let drawn = [];

  // A canvas needs resolved colours: light-dark() resolves in a property that takes a colour.
  function colour(name) {
    const probe = document.createElement("span");
    probe.className = `tone ${name}`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function options(format, stacked) {
    const [muted, line] = [colour("muted-tone"), colour("line-tone")];
    return {
      animation: still ? false : { duration: 250 },
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked, grid: { display: false }, ticks: { color: muted, maxRotation: 0, autoSkipPadding: 16 } },
        y: { stacked, beginAtZero: true, grid: { color: line }, border: { display: false }, ticks: { color: muted, callback: format, maxTicksLimit: 6 } },
      },
      plugins: {
        legend: { position: "bottom", labels: { color: muted, boxWidth: 12, boxHeight: 12 } },
        tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${format(item.parsed.y)}` } },
      },
    };
  }

  function draw(id, type, series, format, stacked) {
    const canvas = document.getElementById(id);
    const datasets = series.map(({ label, values }, n) => {
      const tone = colour(`tone-${(n % 6) + 1}`);
      return {
        label, data: values, backgroundColor: tone, borderColor: tone, borderWidth: type === "line" ? 2 : 0,
        pointRadius: data.days.length > 31 ? 0 : 2, spanGaps: true, tension: 0.25, maxBarThickness: 28,
      };
    });
    drawn.push(new Chart(canvas, { type, data: { labels: data.days.map(day), datasets }, options: options(format, stacked) }));
  }

  function redraw() {
    for (const chart of drawn) chart.destroy();
    drawn = [];
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    draw("cost-plot", "bar", data.cost, (value) => money.format(value), true);
    draw("latency-plot", "line", data.latency, seconds, false);
  }

  redraw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
