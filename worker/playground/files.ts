/** The files of the playground, as they lie in this folder and, beside `models/`, among the gateway's assets. */
export const PLAYGROUND_FILES = ['index.html', 'playground.css', 'playground.js', 'chat-stream.js'] as const;

/** Paths that they are served at: the page itself is at the root. */
export const PLAYGROUND_PATHS: readonly string[] = PLAYGROUND_FILES.map((file) =>
  file === 'index.html' ? '/' : `/${file}`,
);
