// The review's panel and its keys, for FiftyOne's app. Plain JavaScript on the app's own React: nothing is built, nothing is fetched.
// All decisions are made by the Python operators of this plug-in; this file shows what they say and passes keys and clicks on.
(function () {
  "use strict";
  const { React, recoil } = window;
  const fos = window.__fos__;
  const foo = window.__foo__;
  const fop = window.__fop__;
  const spaces = window.__fosp__;
  const h = React.createElement;
  const PLUGIN = "@curate/review";
  const MAP = { openKey: "motion_map", colorField: "label.label" };
  const MOST_FAULTS = 4;
  const VALUE_KEYS = "1234567890qwertyuiop";
  const ACTIONS = [
    { kind: "keep", key: "k", name: "Keep", colour: "#2e9e5b", help: "The label is right" },
    { kind: "drop", key: "d", name: "Drop", colour: "#d13b40", help: "Leave this label out of every export; no media is deleted" },
    { kind: "relabel", key: "r", name: "Relabel", colour: "#8a5bd1", help: "Give the label another value" },
    { kind: "ambiguous", key: "a", name: "Ambiguous", colour: "#c98a1b", help: "Nobody could tell: leave it out and ask the annotators again" },
    { kind: "undo", key: "u", name: "Undo", colour: "#5b6775", help: "Take back my newest decision (or that on the selected labels)" },
  ];

  localStorage.setItem("fiftyone-enterprise-tooltip-seen", "true"); // it would lie over the panel's head on a first visit

  // ---- state: one for the page -------------------------------------------------------------------------------------------------

  let state = { ours: null, cards: [], neighbours: {}, values: [], progress: null, choosing: null, problem: null, scope: 0, at: null };
  let curator = localStorage.getItem("curate-curator") || "";
  let selected = [];
  let skipped = [];
  let asked = 0;
  const listeners = new Set();

  function set(change) {
    state = { ...state, ...change };
    listeners.forEach((listen) => listen());
  }

  function useReview() {
    return React.useSyncExternalStore((listen) => (listeners.add(listen), () => listeners.delete(listen)), () => state);
  }

  // ---- operators ---------------------------------------------------------------------------------------------------------------

  // The app breaks down if it is asked for an operator before it has loaded them all; the panel says when it has.
  let tellLoaded;
  const loaded = new Promise((resolve) => (tellLoaded = resolve));

  async function run(name, params) {
    await loaded;
    return new Promise((resolve) => foo.executeOperator(`${PLUGIN}/${name}`, params || {}, { callback: resolve }));
  }

  let last = Promise.resolve();
  function enqueue(task) {
    last = last.then(task, task);
    return last;
  }

  let timer = null;
  function lookSoon() {
    clearTimeout(timer);
    timer = setTimeout(look, 60);
  }

  async function look() {
    const turn = ++asked;
    const answer = await run("look", { at: state.at, skip: skipped });
    if (turn !== asked) return; // a newer question is on its way
    if (!answer || answer.error || !answer.result) {
      set({ problem: (answer && (answer.errorMessage || answer.error)) || "no answer from the app" });
      return;
    }
    const found = answer.result;
    if (Object.keys(found.changed || {}).length) reloadSoon();
    set({ problem: null, ...found });
    if (!found.ours || found.problem) return;
    await clipIsDrawn();
    const counted = await run("count");
    if (turn === asked && counted && counted.result) set(counted.result);
  }

  // All labels are counted for the progress: what is to be judged comes first, for a second at most.
  function clipIsDrawn() {
    let left = 20;
    return new Promise((resolve) => {
      const again = setInterval(() => {
        const clip = document.querySelector("[data-cy='cr-clip']");
        if (left-- && !(clip && clip.readyState >= 2)) return;
        clearInterval(again);
        resolve();
      }, 50);
    });
  }

  async function decide(kind, value) {
    const inModal = Boolean(document.querySelector("#modal [data-cy='modal'], [data-cy='modal']"));
    const card = !inModal && !selected.length && kind !== "undo" ? state.cards[0] : null;
    const params = { ...(curator ? { curator } : {}), ...(value ? { value } : {}), ...(card ? { card: card.id } : {}) };
    if (card) set({ cards: state.cards.slice(1), at: null, choosing: null });
    else set({ choosing: null });
    return enqueue(async () => {
      const answer = await run(kind, params);
      const result = answer && answer.result;
      if (answer && answer.error) set({ problem: String(answer.errorMessage || answer.error) });
      const touched = Object.keys((result && result.changed) || {});
      if (kind === "undo" && touched.length) set({ at: touched[0] });
      else if (card && !(result && result.done)) set({ at: card.id });
      await look();
    });
  }

  function next() {
    const card = state.cards[0];
    if (!card) return;
    skipped = [...skipped, card.id];
    set({ cards: state.cards.slice(1), at: null });
    lookSoon();
  }

  function act(kind) {
    if (kind === "relabel") set({ choosing: state.values });
    else decide(kind);
  }

  // ---- keys --------------------------------------------------------------------------------------------------------------------

  function isTyping(target) {
    return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) && target.type !== "checkbox");
  }

  function pressed(event) {
    if (!state.ours || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    const stop = () => (event.preventDefault(), event.stopImmediatePropagation());
    if (state.choosing) {
      const value = key === "enter" ? suggest() : (state.values[VALUE_KEYS.indexOf(key)] || {}).id;
      stop();
      if (key === "escape") set({ choosing: null });
      else if (VALUE_KEYS.includes(key) || key === "enter") value && decide("relabel", value);
      return;
    }
    const action = ACTIONS.find((one) => one.key === key);
    if (action) return stop(), act(action.kind);
    if (key === "n" && !document.querySelector("[data-cy='modal']")) return stop(), next();
  }

  if (window.__curateKeys__) window.removeEventListener("keydown", window.__curateKeys__, true);
  window.__curateKeys__ = pressed;
  window.addEventListener("keydown", pressed, true);

  function suggest() {
    const card = state.cards[0];
    return card && card.suggested !== card.label ? card.suggested : null;
  }

  // ---- pieces ------------------------------------------------------------------------------------------------------------------

  const STYLE = `
    .cr { height: 100%; overflow: auto; padding: 12px 16px 24px; box-sizing: border-box; font-size: 14px; line-height: 1.45; color: var(--fo-palette-text-primary, #eee); }
    .cr h3 { font-size: 12px; font-weight: 600; margin: 16px 0 6px; color: var(--fo-palette-text-secondary, #aaa); text-transform: none; }
    .cr-line { display: flex; align-items: baseline; justify-content: space-between; gap: 12px; flex-wrap: wrap; }
    .cr-bar { display: flex; height: 8px; border-radius: 4px; overflow: hidden; background: #3a3f47; margin: 6px 0; }
    .cr-uncounted { height: 40px; } /* nothing moves when the count comes */
    .cr-quiet { color: var(--fo-palette-text-secondary, #aaa); }
    .cr-note { padding: 6px 10px; border-radius: 6px; margin: 6px 0; background: #24462f; color: #c9f2d6; }
    .cr-note.many { background: #1e3a5c; color: #d3e6ff; } .cr-note.bad { background: #5c1e22; color: #ffd6d8; }
    .cr-faults { border-left: 3px solid #ff2d55; padding: 2px 0 2px 10px; margin: 6px 0; }
    .cr video { display: block; width: 100%; border-radius: 6px; background: #111; }
    .cr-chip { display: inline-block; padding: 2px 10px; border-radius: 12px; font-weight: 600; white-space: nowrap; }
    .cr-says { display: flex; align-items: center; gap: 8px; flex-wrap: wrap; margin: 10px 0 2px; font-size: 16px; }
    .cr-acts { display: grid; grid-template-columns: repeat(5, 1fr); gap: 8px; margin: 12px 0 4px; }
    .cr-acts button, .cr-values button { cursor: pointer; border: 0; border-radius: 6px; padding: 8px 4px; color: #fff; font: inherit; font-weight: 600; }
    .cr-acts button:hover, .cr-values button:hover { filter: brightness(1.15); }
    .cr kbd, .cr-values kbd { font: 600 11px/1 monospace; padding: 2px 5px; margin-left: 6px; border-radius: 3px; background: rgba(0,0,0,.35); color: #fff; }
    .cr-near { display: grid; grid-template-columns: repeat(6, 1fr); gap: 8px; }
    .cr-near video { aspect-ratio: 3 / 4; object-fit: cover; object-position: left; }
    .cr-near .cr-chip { font-size: 12px; padding: 0 6px; margin-top: 4px; max-width: 100%; overflow: hidden; text-overflow: ellipsis; box-sizing: border-box; }
    .cr table { border-collapse: separate; border-spacing: 2px; font-size: 12px; width: 100%; table-layout: fixed; }
    .cr th { font-weight: 500; text-align: left; padding: 0 4px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--fo-palette-text-secondary, #aaa); }
    .cr td { text-align: center; height: 26px; border-radius: 3px; background: #2a2e35; }
    .cr td.pair { cursor: pointer; color: #fff; } .cr td.pair:hover { outline: 2px solid #fff; }
    .cr input { background: transparent; color: inherit; border: 0; border-bottom: 1px solid #666; font: inherit; width: 130px; }
    .cr-over { position: fixed; inset: 0; z-index: 100000; display: flex; align-items: center; justify-content: center; background: rgba(0,0,0,.45); }
    .cr-values { background: #23272e; color: #eee; padding: 18px; border-radius: 10px; width: 460px; max-height: 80vh; overflow: auto; box-shadow: 0 8px 40px #000; font-size: 15px; }
    .cr-values button { display: flex; justify-content: space-between; width: 100%; margin-top: 8px; padding: 9px 12px; text-align: left; }
  `;

  function ink(colour) {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(String(colour).slice(i, i + 2), 16) || 0);
    return 0.299 * r + 0.587 * g + 0.114 * b > 150 ? "#111" : "#fff";
  }

  function find(id) {
    return state.values.find((value) => value.id === id) || { id, name: id, colour: "#5b6775" };
  }

  function Chip({ id }) {
    const value = find(id);
    return h("span", { className: "cr-chip", title: value.description, style: { background: value.colour, color: ink(value.colour) } }, value.id);
  }

  function Loop({ path, ...rest }) {
    const source = fos.getSampleSrc(path);
    return h("video", { key: source, src: source, loop: true, autoPlay: true, muted: true, playsInline: true, ...rest });
  }

  function percent(p) {
    return p == null ? "" : p > 0.995 ? "over 99 %" : p < 0.005 ? "under 1 %" : `${Math.round(100 * p)} %`;
  }

  // Estimates are for people whole numbers; thousands stand apart.
  function whole(n) {
    return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  }

  function expect(n) {
    return n < 1 ? ["fewer than ", 1] : ["about ", whole(n)];
  }

  function clock(seconds) {
    const tenths = Math.round(10 * seconds);
    const pad = (n) => String(n).padStart(2, "0");
    if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`;
    const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
    return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
  }

  function Progress({ progress }) {
    const colours = { kept: "#2e9e5b", dropped: "#d13b40", relabelled: "#8a5bd1", ambiguous: "#c98a1b" };
    const left = progress.total - progress.reviewed;
    const said = Object.entries(progress.verdicts).map(([verdict, n]) => `${whole(n)} ${verdict}`).join(", ");
    const [about, expected] = expect(progress.expected);
    return h("div", { "data-cy": "cr-progress" },
      h("div", { className: "cr-line" },
        h("b", null, `${whole(progress.reviewed)} of ${whole(progress.total)} reviewed`),
        left > 0 && h("span", { "data-cy": "cr-expected", "data-exact": progress.expected, title: "The sum of the probabilities of being wrong over the labels that nobody has decided on" },
          about, h("b", null, expected), ` wrong among the ${whole(left)} left`)),
      h("div", { className: "cr-bar", title: said },
        Object.keys(colours).map((verdict) => h("div", { key: verdict, style: { width: `${(100 * (progress.verdicts[verdict] || 0)) / Math.max(progress.total, 1)}%`, background: colours[verdict] } }))),
      said && h("div", { className: "cr-quiet" }, said),
      progress.stop && h("div", { className: "cr-note", "data-cy": "cr-stop" },
        left ? "You can stop here: at most 2 % of what is left is expected to be wrong." : "All labels are reviewed."));
  }

  // Red in the picture, and named here; a long list is cut.
  function Faults({ faults }) {
    const more = faults.length - MOST_FAULTS;
    return h("div", { className: "cr-faults", "data-cy": "cr-faults", title: faults.join("\n") },
      h("b", null, "Cannot be right (red in the picture)"),
      faults.slice(0, MOST_FAULTS).map((fault) => h("div", { key: fault }, fault)),
      more > 0 && h("div", null, `and ${more} more`));
  }

  function Card({ card, neighbours }) {
    const differs = card.suggested && card.suggested !== card.label;
    const where = [card.student, card.lesson, card.start != null && clock(card.start), `labelled by ${card.annotator}`].filter(Boolean).join(" · ");
    return h("div", { "data-cy": "cr-card", "data-sample": card.id },
      h(Loop, { path: card.filepath, "data-cy": "cr-clip" }),
      h("div", { className: "cr-says" },
        h("span", { className: "cr-quiet" }, "labelled"), h(Chip, { id: card.label }),
        differs ? h(React.Fragment, null, h("span", { className: "cr-quiet" }, "looks like"), h(Chip, { id: card.suggested })) : card.suggested && h("span", { className: "cr-quiet" }, "the evidence agrees"),
        card.p_wrong != null && h("b", { style: { marginLeft: "auto" } }, `wrong with ${percent(card.p_wrong)}`)),
      h("div", { "data-cy": "cr-reason" }, card.trouble ? h("b", null, `${card.trouble}: `) : null, card.reason),
      card.faults && card.faults.length > 0 && h(Faults, { faults: card.faults }),
      h("div", { className: "cr-quiet" }, where),
      card.verdict && h("div", { className: "cr-quiet" }, `${card.verdict} by ${card.curator}${card.original ? `; the annotator said ${card.original}` : ""}`),
      neighbours && neighbours.length > 0 && h(React.Fragment, null,
        h("h3", null, "Other students who move most like this"),
        h("div", { className: "cr-near" }, neighbours.map((other) => h("div", { key: other.id, title: `${other.student || ""} ${other.lesson}` },
          h(Loop, { path: other.filepath }), h(Chip, { id: other.label }))))));
  }

  function Matrix({ pairs, values, scope }) {
    const there = values.filter((value) => pairs.some((pair) => pair.label === value.id || pair.suggested === value.id));
    if (!there.length) return null;
    const most = Math.max(1, ...pairs.filter((pair) => pair.label !== pair.suggested).map((pair) => pair.n));
    const at = (label, suggested) => pairs.find((pair) => pair.label === label && pair.suggested === suggested);
    return h("div", { "data-cy": "cr-matrix" },
      h("h3", null, scope ? `Of the ${whole(scope)} selected: labelled (rows), looks like (columns)` : "Not yet reviewed: labelled (rows), looks like (columns)"),
      h("table", null,
        h("thead", null, h("tr", null, h("th"), there.map((value) => h("th", { key: value.id, title: value.name }, value.id)))),
        h("tbody", null, there.map((row) => h("tr", { key: row.id }, h("th", { title: row.name }, row.id), there.map((column) => {
          const pair = at(row.id, column.id);
          const same = row.id === column.id;
          const strength = pair ? 0.25 + (0.75 * pair.n) / most : 0;
          return h("td", {
            key: column.id,
            className: pair ? "pair" : "",
            "data-cy": `cr-pair-${row.id}-${column.id}`,
            title: pair ? `${whole(pair.n)} labelled ${row.id} that look like ${column.id}; ${expect(pair.expected).join("")} of them wrong. Click to see them.` : "",
            style: pair ? { background: same ? "rgba(90,110,130,.45)" : `rgba(226,87,76,${strength})` } : {},
            onClick: pair ? () => run("pair", { label: row.id, suggested: column.id }) : undefined,
          }, pair ? whole(pair.n) : "");
        }))))));
  }

  function Values() {
    const { values, choosing } = useReview();
    if (!choosing) return null;
    const likely = suggest();
    const many = selected.length > 1 ? `${selected.length} labels` : "the label";
    const box = h("div", { className: "cr-over", onClick: () => set({ choosing: null }) },
      h("div", { className: "cr-values", "data-cy": "cr-values", role: "dialog", onClick: (event) => event.stopPropagation() },
        h("div", null, `Relabel ${many}. `, h("span", { style: { color: "#aaa" } }, likely ? "Enter takes the suggestion, Esc leaves." : "Esc leaves.")),
        values.map((value, n) => h("button", {
          key: value.id, title: value.description, onClick: () => decide("relabel", value.id), "data-cy": `cr-value-${value.id}`,
          style: { background: value.colour, color: ink(value.colour), outline: value.id === likely ? "3px solid #fff" : "none" },
        }, h("span", null, `${value.name}${value.id === likely ? "  (suggested)" : ""}`), VALUE_KEYS[n] && h("kbd", null, VALUE_KEYS[n].toUpperCase())))));
    return window.ReactDOM.createPortal(box, document.body);
  }

  function Curator() {
    const [name, setName] = React.useState(curator);
    const change = (event) => {
      setName(event.target.value);
      curator = event.target.value.trim();
      localStorage.setItem("curate-curator", curator);
    };
    return h("label", { className: "cr-quiet" }, "deciding as ", h("input", { value: name, onChange: change, placeholder: "this account", "data-cy": "cr-curator" }));
  }

  // The map of motions, where it is open beside the panel, shows itself coloured by label: the app keeps that out of workspaces.
  function useMap() {
    const nodes = spaces.useSpaceNodes(fos.constants.FIFTYONE_GRID_SPACES_ID);
    const tell = spaces.useSetPanelStateById(true);
    const map = nodes.find((node) => node.type === "Embeddings");
    React.useEffect(() => {
      if (!map) return undefined;
      let left = 50;
      const again = setInterval(() => {
        const listed = document.querySelector("[data-cy='embeddings-runs-page']"); // the list of maps, of which there is one
        if (document.querySelector(".emb-plot") || !left) clearInterval(again);
        else if (listed && left--) tell(map.id, (state) => ({ ...state, ...MAP })); // forgotten if told too early
      }, 200);
      return () => clearInterval(again);
    }, [map && map.id]);
  }

  function Panel() {
    useMap();
    const shown = useReview();
    const chosen = recoil.useRecoilValue(fos.selectedSamples);
    const view = recoil.useRecoilValue(fos.view);
    const filters = recoil.useRecoilValue(fos.filters);
    const lasso = recoil.useRecoilValue(fos.extendedSelection);
    const stages = JSON.stringify(recoil.useRecoilValue(fos.extendedStages)).length; // the map's lasso is one of them
    const dataset = recoil.useRecoilValue(fos.datasetName);
    const open = recoil.useRecoilValue(fos.nullableModalSampleId);
    const there = foo.useOperatorAvailability(`${PLUGIN}/look`);
    React.useEffect(() => {
      if (there) tellLoaded();
    }, [there]);
    React.useEffect(() => (open ? playOpened() : undefined), [open]);
    React.useEffect(() => {
      selected = [...chosen.keys()];
      lookSoon();
    }, [chosen, lasso, stages]);
    React.useEffect(() => {
      skipped = [];
      set({ at: null });
      lookSoon();
    }, [view, filters, dataset]);
    React.useEffect(() => {
      const again = setInterval(() => document.hidden || lookSoon(), 15000); // what others decide meanwhile
      return () => clearInterval(again);
    }, []);
    if (!shown.ours) return h("div", { className: "cr" }, h("style", null, STYLE), shown.problem || (shown.ours === null ? "" : "This page is no review of a workspace."));
    const [card] = shown.cards;
    return h("div", { className: "cr", "data-cy": "cr-panel" },
      h("style", null, STYLE),
      shown.problem && h("div", { className: "cr-note bad" }, shown.problem),
      shown.progress ? h(Progress, { progress: shown.progress }) : h("div", { className: "cr-uncounted" }),
      chosen.size > 0 && h("div", { className: "cr-note many", "data-cy": "cr-selected" }, `${whole(chosen.size)} selected: what you press decides on all of them.`),
      card ? h(Card, { card, neighbours: shown.neighbours[card.id] }) : h("p", null, "Nothing in this view waits for a decision. Choose another view on the left."),
      h("div", { className: "cr-acts" }, ACTIONS.map((action) => h("button", {
        key: action.kind, title: action.help, "data-cy": `cr-${action.kind}`, onClick: (event) => (event.currentTarget.blur(), act(action.kind)), style: { background: action.colour },
      }, action.name, h("kbd", null, action.key.toUpperCase())))),
      h("div", { className: "cr-line cr-quiet" }, h("span", null, "N: next without deciding"), h(Curator)),
      shown.progress && h(Matrix, { pairs: shown.progress.pairs, values: shown.values, scope: shown.scope }),
      h(Values));
  }

  // An opened clip plays by itself; FiftyOne would wait for a key.
  function playOpened() {
    let left = 40;
    const again = setInterval(() => {
      const play = document.querySelector("#modal [aria-label='Play'], #modal [title='Play']");
      if (play) play.click();
      if (play || !--left) clearInterval(again);
    }, 150);
    return () => clearInterval(again);
  }

  // ---- registration ------------------------------------------------------------------------------------------------------------

  // FiftyOne 1.22 keeps the grid's tiles to itself: they are drawn anew by a reload, once the decisions pause. The open sample's sidebar
  // takes the sample as it is now.
  let reload = null;
  function reloadSoon() {
    clearTimeout(reload);
    reload = setTimeout(() => (document.querySelector("[data-cy='modal']") ? reloadSoon() : foo.executeOperator("reload_dataset")), 1200);
  }

  class Show extends foo.Operator {
    get config() {
      return new foo.OperatorConfig({ name: "show", label: "curate: show what has changed", unlisted: true });
    }
    useHooks() {
      return { update: fos.useUpdateSamples() };
    }
    async execute({ hooks, params }) {
      if (params.open) hooks.update([[params.open._id, params.open]]);
      reloadSoon();
    }
  }

  foo.registerOperator(Show, PLUGIN);
  fop.registerComponent({
    name: "curate_review",
    label: "Review",
    component: Panel,
    type: fop.PluginComponentType.Panel,
    activator: () => true,
    panelOptions: { surfaces: "grid", priority: 1, helpMarkdown: "Decide on labels by key or click; every decision is a new row in the catalogue and can be undone." },
  });
})();
