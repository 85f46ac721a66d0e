/**
 * SVG elements in few words. Colours come from `plots.css`: the page allows no style in markup.
 * @module
 */

/** Read from an element of the page: its name is an address, and pages here hold none. */
const namespace = () => document.querySelector('svg').namespaceURI;

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(namespace(), tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * A drawing that screen readers meet as one picture with a description.
 * @param {{ width: number, height: number, description: string, className: string }} options in its own units
 * @param {Node[]} children
 */
export function drawing({ width, height, description, className }, children) {
  const attributes = { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': description, class: className };
  return svg('svg', attributes, ...children);
}
