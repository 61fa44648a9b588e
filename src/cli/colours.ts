/**
 * Colours for the terminal, or none: a style is chosen once per output (stdout and stderr may differ) and its
 * functions are the identity where colours do not belong. No state.
 */

export interface Style {
  readonly enabled: boolean
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

/** Colours only on a terminal, never with NO_COLOR (https://no-color.org) or a dumb terminal. */
export function styleFor(isTty: boolean, env: Readonly<Record<string, string | undefined>>): Style {
  const off = !isTty || (env.NO_COLOR !== undefined && env.NO_COLOR !== '') || env.TERM === 'dumb'
  return off ? plainStyle : colourStyle
}

export const plainStyle: Style = {
  enabled: false,
  bold: (text) => text,
  dim: (text) => text,
  red: (text) => text,
  green: (text) => text,
  yellow: (text) => text,
  cyan: (text) => text,
}

const colourStyle: Style = {
  enabled: true,
  bold: wrap(1, 22),
  dim: wrap(2, 22),
  red: wrap(31, 39),
  green: wrap(32, 39),
  yellow: wrap(33, 39),
  cyan: wrap(36, 39),
}

function wrap(open: number, close: number): (text: string) => string {
  return (text) => `\u001b[${open}m${text}\u001b[${close}m`
}
