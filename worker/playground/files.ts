/** The files of the playground, as they lie in this folder and, beside `models/`, among the gateway's assets. */
export const PLAYGROUND_FILES = [
  'index.html',
  'classifiers.html',
  'base.css',
  'playground.css',
  'classifiers.css',
  'plots.css',
  'api-key.js',
  'playground.js',
  'chat-stream.js',
  'classifiers.js',
  'classifier-api.js',
  'classifier-list.js',
  'classifier-view.js',
  'curl-command.js',
  'curl-box.js',
  'dom.js',
  'example-lines.js',
  'examples-field.js',
  'training-form.js',
  'retraining-form.js',
  'version-table.js',
  'import-form.js',
  'confirm-dialog.js',
  'training-report.js',
  'svg.js',
  'reliability-diagram.js',
  'confusion-map.js',
  'try-form.js',
  'text-results.js',
] as const;

/** Pages by their files; everything else is served at its name. */
const PAGE_PATHS: Readonly<Record<string, string>> = { 'index.html': '/', 'classifiers.html': '/classifiers' };

/** Paths that they are served at. */
export const PLAYGROUND_PATHS: readonly string[] = PLAYGROUND_FILES.map((file) => PAGE_PATHS[file] ?? `/${file}`);
