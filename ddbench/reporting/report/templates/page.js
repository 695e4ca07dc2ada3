"use strict";
// Everything works on what is in the page; nothing is loaded.
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  const remembered = {
    get() { try { return localStorage.getItem("ddbench-theme") || ""; } catch { return ""; } },
    set(value) { try { localStorage.setItem("ddbench-theme", value); } catch { /* a private window */ } },
  };
  const paint = (theme) => { if (theme) root.dataset.theme = theme; else delete root.dataset.theme; };
  paint(remembered.get());

  document.addEventListener("DOMContentLoaded", () => {
    const theme = document.getElementById("theme");
    theme.value = remembered.get();
    theme.addEventListener("change", () => { paint(theme.value); remembered.set(theme.value); });

    const board = document.getElementById("board");
    const entries = [...board.tBodies];
    entries.forEach((entry, index) => { entry.order = index; });

    // -- rows that open --
    const opener = (entry) => entry.querySelector(".open");
    const show = (entry, open) => {
      entry.classList.toggle("opened", open);
      opener(entry).setAttribute("aria-expanded", String(open));
      const place = entry.querySelector(".thumbnail");
      if (open && place && !place.querySelector("img")) {
        const picture = document.getElementById(place.dataset.picture).querySelector("img");
        place.replaceChildren(picture.cloneNode());
      }
    };
    board.addEventListener("click", (event) => {
      const entry = event.target.closest("tbody.entry");
      if (!entry || event.target.closest("tr.more")) return;
      const open = !entry.classList.contains("opened");
      show(entry, open);
      if (open) history.replaceState(null, "", `#${entry.id}`);
      else if (location.hash === `#${entry.id}`) history.replaceState(null, "", location.pathname + location.search);
    });
    board.addEventListener("keydown", (event) => {
      const entry = event.target.closest("tbody.entry");
      if (event.key === "Escape" && entry) { show(entry, false); opener(entry).focus(); }
    });

    // -- filters --
    const form = document.getElementById("filters");
    const choices = [...form.querySelectorAll("select")];
    const words = document.getElementById("words");
    const attribute = (name) => `data-${name.replace(" ", "-").toLowerCase()}`;
    entries.forEach((entry) => { entry.text = entry.querySelector(".row").textContent.toLowerCase(); });
    const filter = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const entry of entries) {
        const fits = choices.every((c) => !c.value || entry.getAttribute(attribute(c.dataset.facet)) === c.value)
          && wanted.every((word) => entry.text.includes(word));
        entry.hidden = !fits;
        shown += fits;
      }
      document.getElementById("count").textContent = `${shown} of ${entries.length} rows`;
      replot();
    };
    form.addEventListener("input", filter);
    form.addEventListener("reset", () => setTimeout(filter));
    form.addEventListener("submit", (event) => event.preventDefault());

    // -- plots follow the filters; the frontier is that of the points that are shown --
    const replot = () => {
      for (const plot of document.querySelectorAll(".plot svg[role=group]")) {
        const points = [...plot.querySelectorAll(".point")];
        let hidden = 0;
        for (const point of points) {
          const off = document.getElementById(point.dataset.row).hidden;
          point.classList.toggle("off", off);
          hidden += off;
        }
        plot.classList.toggle("partial", hidden > 0);
        const frontier = plot.querySelector(".frontier");
        if (frontier) frontier.setAttribute("d", stairs(points.filter((p) => !p.classList.contains("off"))));
      }
    };
    const stairs = (points) => {
      const places = points.map((p) => [Number(p.dataset.x), Number(p.dataset.y)]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      let best = Infinity, path = "";
      for (const [x, y] of places) if (y < best) { path += path ? ` H${x} V${y}` : `M${x} ${y}`; best = y; }
      return path;
    };

    // -- sorting --
    const heads = [...board.tHead.rows[0].cells];
    const value = (entry, column) => entry.rows[0].cells[column].dataset.sort;
    const compare = (a, b) => {
      const [x, y] = [Number(a), Number(b)];
      return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
    };
    heads.forEach((head, column) => head.querySelector(".sort").addEventListener("click", (event) => {
      const first = event.currentTarget.dataset.first;
      const other = first === "ascending" ? "descending" : "ascending";
      const now = head.getAttribute("aria-sort");
      const next = now === "none" ? first : now === first ? other : "none";
      heads.forEach((h) => h.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const sorted = [...entries].sort((a, b) => {
        if (next === "none") return a.order - b.order;
        const [x, y] = [value(a, column), value(b, column)];
        // What has no value comes last either way.
        if (!x || !y) return (x ? 0 : 1) - (y ? 0 : 1) || a.order - b.order;
        return sign * compare(x, y) || a.order - b.order;
      });
      sorted.forEach((entry) => board.append(entry));
    }));

    // -- copying a command --
    document.addEventListener("click", async (event) => {
      const button = event.target.closest(".copy");
      if (!button) return;
      const code = button.previousElementSibling;
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; }
      catch { button.textContent = "Selected"; }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });

    // -- links to rows --
    const follow = () => {
      const entry = document.getElementById(location.hash.slice(1));
      if (!entry || !entry.matches("tbody.entry")) return;
      if (entry.hidden) { form.reset(); filter(); }
      show(entry, true);
      entry.scrollIntoView({ block: "start" });
      opener(entry).focus({ preventScroll: true });
    };
    addEventListener("hashchange", follow);
    follow();
  });
})();
