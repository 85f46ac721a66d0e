/** Just enough SVG for charts that are readable on light and on dark pages. */

type Attributes = Readonly<Record<string, string | number>>;

export function escapeXml(raw: string): string {
  return raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Coordinates to a tenth of a pixel: more makes diffs longer, not pictures better. */
function attributeText(value: string | number): string {
  return escapeXml(typeof value === 'number' ? String(Math.round(value * 10) / 10) : value);
}

/** One element; children are markup already. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const pairs = Object.entries(attributes).map(([key, value]) => ` ${key}="${attributeText(value)}"`);
  const open = `<${name}${pairs.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

export function text(x: number, y: number, className: string, content: string, anchor = 'start'): string {
  return element('text', { x, y, class: className, 'text-anchor': anchor }, escapeXml(content));
}

/** Colours of series, the first one being ours. All have a contrast of 3:1 or more on white and on GitHub's dark grey. */
export const SERIES_COLOURS = ['#d9730d', '#5b7fa6', '#7d8590', '#2f9e77', '#a86bc2', '#c2556b'] as const;

export function colourOf(index: number): string {
  return SERIES_COLOURS[index % SERIES_COLOURS.length] ?? SERIES_COLOURS[0];
}

// The page behind is unknown, so nothing is painted on it: only the colour of text and lines follows the reader's theme.
const STYLE = `
text{font:12px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:15px;font-weight:600}
.strong{font-weight:600}
.quiet{fill:#59636e}
.grid{stroke:#8c959f;stroke-opacity:.35}
.base{stroke:#8c959f;stroke-dasharray:4 3}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}}
`;

/** A whole picture. @param description is read to those who cannot see it. */
export function svgDocument(
  size: { readonly width: number; readonly height: number },
  title: string,
  description: string,
  children: readonly string[],
): string {
  const { width, height } = size;
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    viewBox: `0 0 ${width} ${height}`,
    width,
    height,
    role: 'img',
  };
  const head = [
    element('title', {}, escapeXml(title)),
    element('desc', {}, escapeXml(description)),
    element('style', {}, STYLE),
  ];
  return `${element('svg', attributes, '\n', [...head, ...children].join('\n'), '\n')}\n`;
}
