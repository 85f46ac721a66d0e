/** A text as windows of tokens. */

/**
 * Cuts tokens into consecutive windows of `windowTokens`, at most `numWindowsMax`. A shorter rest is a window too when it
 * predicts anything.
 */
export function cutWindows(tokens: readonly number[], windowTokens: number, numWindowsMax: number): number[][] {
  const windows: number[][] = [];
  for (let start = 0; start < tokens.length && windows.length < numWindowsMax; start += windowTokens) {
    const window = tokens.slice(start, start + windowTokens);
    if (window.length > 1) {
      windows.push(window);
    }
  }
  return windows;
}
