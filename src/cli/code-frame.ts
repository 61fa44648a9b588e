/**
 * A mistake shown where it is: file, line and column, the source line with a caret under the place, and the hint.
 * Works from the text of the file as it is now; without a place or a readable file only the sentence is shown.
 * No state.
 */

import { readFileSync } from 'node:fs'
import { isAbsolute, relative, resolve } from 'node:path'
import type { ErrorBody } from '../model/errors.ts'
import type { Style } from './colours.ts'
import { escapeControls, textWidth } from './text-width.ts'

export interface FrameOptions {
  readonly style: Style
  /** Folder that paths are shown relative to. */
  readonly cwd: string
  /** What a place without a file is in: the SQL that was sent. */
  readonly text?: string
}

/** All mistakes, sorted by place, one blank line between them, and a last line that counts them. */
export function formatMistakes(mistakes: readonly ErrorBody[], options: FrameOptions): string {
  const sorted = [...mistakes].sort(byPlace)
  const count = mistakes.length === 1 ? '1 mistake' : `${mistakes.length} mistakes`
  return `${sorted.map((mistake) => formatMistake(mistake, options)).join('\n')}\n${options.style.bold(count)}\n`
}

export function formatMistake(mistake: ErrorBody, options: FrameOptions): string {
  const { style } = options
  const lines = [
    `${style.red(style.bold('error'))} ${style.bold(escapeLines(mistake.message))} ${style.dim(mistake.code)}`,
  ]
  const place = mistake.place
  const shown = place?.file === undefined ? options.text : resolve(options.cwd, place.file)
  if (place !== undefined && shown !== undefined) {
    const name = place.file === undefined ? 'SQL' : shownPath(shown, options.cwd)
    const position = [name, place.line, place.column].filter((part) => part !== undefined)
    lines.push(`  ${style.cyan(position.join(':'))}`)
    const text = place.file === undefined ? shown : readText(shown)
    if (place.line !== undefined && text !== undefined) {
      lines.push(...frameLines(text, place.line, place.column, style))
    }
  }
  if (mistake.hint !== '') lines.push(`  ${style.green('hint')} ${escapeLines(mistake.hint)}`)
  return `${lines.join('\n')}\n`
}

const linesBefore = 1

function frameLines(text: string, line: number, column: number | undefined, style: Style): string[] {
  const source = text.split(/\r?\n/)
  if (line < 1 || line > source.length) return []
  const numberWidth = String(line).length
  const frame: string[] = []
  for (let number = Math.max(1, line - linesBefore); number <= line; number += 1) {
    const shown = expandTabs(source[number - 1]!)
    frame.push(
      `  ${style.dim(`${String(number).padStart(numberWidth)} │`)} ${escapeControls(shown)}`.trimEnd(),
    )
  }
  if (column !== undefined) {
    const at = source[line - 1]!
    const before = escapeControls(expandTabs(at.slice(0, column - 1)))
    const word = /^[\p{L}\p{N}_$]+/u.exec(at.slice(column - 1))?.[0] ?? '^'
    const carets = style.red('^'.repeat(Math.max(1, textWidth(word))))
    frame.push(`  ${style.dim(`${' '.repeat(numberWidth)} │`)} ${' '.repeat(textWidth(before))}${carets}`)
  }
  return frame
}

function expandTabs(text: string): string {
  return text.replaceAll('\t', '  ')
}

/** Sentences may have several lines (an engine's message); their other control characters may not steer anything. */
function escapeLines(text: string): string {
  return text.split('\n').map(escapeControls).join('\n    ')
}

/** Relative where that is shorter to read, absolute for files outside. */
export function shownPath(path: string, cwd: string): string {
  if (!isAbsolute(path)) return path
  const short = relative(cwd, path)
  return short === '' || short.startsWith('..') ? path : short
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function byPlace(a: ErrorBody, b: ErrorBody): number {
  const [x, y] = [a.place ?? {}, b.place ?? {}]
  if (x.file !== y.file) return (x.file ?? '') < (y.file ?? '') ? -1 : 1
  return (x.line ?? 0) - (y.line ?? 0) || (x.column ?? 0) - (y.column ?? 0)
}
