// Small helpers for elements of the page.

/** An element with attributes (on...: listeners; class, aria-...: as written) and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** The same for the inside of a picture. */
export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children.flat());
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
}

/** A place that the template has. */
export function place(id) {
  return document.getElementById(id);
}

/** A labelled control: the label's text, then the control. */
export function labelled(text, control) {
  return make("label", { class: "control" }, make("span", {}, text), control);
}

/** A list of choices; each is [value, text]. */
export function select(choices, chosen, onchange, attributes = {}) {
  const options = choices.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) }, text));
  return make("select", { ...attributes, onchange: (event) => onchange(event.target.value) }, options);
}

/** A row of buttons of which one is pressed; left and right arrows move between them. */
export function oneOf(buttons, container) {
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    buttons[(at + step + buttons.length) % buttons.length].focus();
  });
  return (chosen) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === chosen));
}
