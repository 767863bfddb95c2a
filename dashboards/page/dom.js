// Creates an element with attributes and children. Strings become text nodes, so names from the ledger cannot inject markup.
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

// Creates a table in a frame that scrolls horizontally, so that the page never does; `texts` names the text columns.
export function table(caption, head, rows, texts = []) {
  const header = h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)));
  for (const row of [header, ...rows]) for (const name of texts) row.children[head.indexOf(name)].classList.add("text");
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("thead", {}, header), h("tbody", {}, rows)));
}

// Replaces the options of a select, keeping the selection if it is still available.
export function fill(select, options) {
  const chosen = select.value;
  const same = select.options.length === options.length
    && options.every(([value], index) => select.options[index].value === value);
  if (same) return;
  select.replaceChildren(...options.map(([value, label]) => h("option", { value }, label)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
