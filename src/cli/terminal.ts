/**
 * Where a command writes: data to stdout, talk to stderr, and one line on stderr that may be redrawn in place. A
 * reader that goes away (`refold tail … | head`) ends the command quietly. State: the length of the redrawn line,
 * so that other output never lands on it.
 */

import type { Readable, Writable } from 'node:stream'
import { type Style, styleFor } from './colours.ts'
import { cutToWidth } from './text-width.ts'

export interface Terminal {
  /** Writes data; resolves when more may be written. */
  data(text: string): Promise<void>
  /** Writes talk, whole lines. */
  talk(text: string): void
  /** Shows one line of progress: redrawn in place on a terminal, else at most one line every few seconds. */
  progress(line: string): void
  /** Ends the line of progress: `line` stays in its place. Without `line` it is wiped. */
  endProgress(line?: string): void
  readonly dataStyle: Style
  readonly talkStyle: Style
  readonly dataIsTty: boolean
  readonly talkIsTty: boolean
  /** Width in cells of the terminal that shows data; undefined when it is a file or a pipe. */
  dataWidth(): number | undefined
}

/** What a command may touch of the outside; tests give their own. */
export interface Cli {
  readonly terminal: Terminal
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdin: Readable & { readonly isTTY?: boolean }
  /** Calls `listener` when the person or the system asks the command to stop; returns its removal. */
  onStop(listener: () => void): () => void
  /** What the process will exit with; commands set it where 0 is not the answer. */
  exitCode: number
}

export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number }

const plainProgressEveryMs = 5_000

export function openTerminal(
  stdout: Output,
  stderr: Output,
  env: Readonly<Record<string, string | undefined>>,
  nowMs: () => number = () => performance.now(),
): Terminal {
  let drawn = false
  let lastPlainMs = nowMs()
  const wipe = (): void => {
    if (drawn) stderr.write('\r\u001b[2K')
    drawn = false
  }
  return {
    dataStyle: styleFor(stdout.isTTY === true, env),
    talkStyle: styleFor(stderr.isTTY === true, env),
    dataIsTty: stdout.isTTY === true,
    talkIsTty: stderr.isTTY === true,
    dataWidth: () => (stdout.isTTY === true ? stdout.columns : undefined),
    data(text) {
      wipe()
      if (text === '' || stdout.write(text)) return Promise.resolve()
      return new Promise((resolve) => {
        const done = (): void => {
          stdout.off('drain', done).off('close', done).off('error', done)
          resolve()
        }
        stdout.on('drain', done).on('close', done).on('error', done)
      })
    },
    talk(text) {
      wipe()
      stderr.write(text.endsWith('\n') ? text : `${text}\n`)
    },
    progress(line) {
      if (stderr.isTTY === true) {
        wipe()
        stderr.write(cutToWidth(line, Math.max(20, (stderr.columns ?? 80) - 1)))
        drawn = true
      } else if (nowMs() - lastPlainMs >= plainProgressEveryMs) {
        lastPlainMs = nowMs()
        stderr.write(`${line}\n`)
      }
    },
    endProgress(line) {
      wipe()
      if (line !== undefined) stderr.write(`${line}\n`)
    },
  }
}
