/** Dead letters as people read them in a terminal. Pure. */

import type { DeadCause, DeadLetterDetail, DeadLetterInfo, DeadOutcome } from '../serve/core-dead.ts'
import type { Style } from './colours.ts'
import { shortVersion } from './query.ts'
import { formatTable } from './table.ts'

const INPUT_SHOWN = 300

export function causesText(causes: readonly DeadCause[], style: Style): string {
  if (causes.length === 0) return 'There are no open dead letters.\n'
  return causes.map((cause) => causeText(cause, style)).join('\n')
}

function causeText(cause: DeadCause, style: Style): string {
  const { count, open, code, place, first, last, example } = cause
  const done = count === open ? '' : ` (${count - open} sent or dropped)`
  const lines = [
    `${style.bold(`${open} × ${code}`)} ${whereText(cause)}${place === '' ? '' : ` at ${place}`}${done}`,
    `  ${first} to ${last}`,
    `  ${style.red(example.reason)}`,
    `  ${style.dim(`${example.id}:`)} ${inputText(example)}`,
    `  ${style.dim(example.hint)}`,
  ]
  return `${lines.join('\n')}\n`
}

function whereText({
  kind,
  stream,
  view,
  version,
}: Pick<DeadCause, 'kind' | 'stream' | 'view' | 'version'>): string {
  if (kind === 'rejected') return `in stream ${stream}`
  return `left out by view ${view} (${shortVersion(version ?? '')}) of stream ${stream}`
}

function inputText({ input, cut }: DeadLetterDetail): string {
  if (input === null) return 'the event is no longer in the log'
  const line = input.replaceAll(/\s*\n\s*/g, ' ')
  return line.length > INPUT_SHOWN || cut ? `${line.slice(0, INPUT_SHOWN)}…` : line
}

export function lettersText(
  letters: readonly DeadLetterInfo[],
  { style, width }: { readonly style: Style; readonly width: number | undefined },
): string {
  if (letters.length === 0) return 'There are no such dead letters.\n'
  const columns = ['id', 'time', 'stream', 'view', 'code', 'place', 'state', 'reason'].map((name) => ({
    name,
    type: 'VARCHAR',
  }))
  const rows = letters.map(({ id, time, stream, view = '', code, place, state, reason }) => ({
    ...{ id, time, stream, view, code, place, state, reason },
  }))
  return formatTable(columns, rows, { style, width })
}

export function detailText(letter: DeadLetterDetail, style: Style): string {
  const { id, time, code, reason, place, stack, input, cut, hint, acts, state } = letter
  const lines = [
    `${style.bold(id)}  ${code} ${whereText(letter)}${place === '' ? '' : ` at ${place}`}, ${state}`,
    `  ${time}`,
    `  ${style.red(reason)}`,
    ...(stack === undefined ? [] : stack.split('\n').map((line) => `  ${style.dim(line)}`)),
    `  ${style.dim(hint)}`,
    ...acts.map(({ time: at, who, what, outcome }) => `  ${what} by ${who} at ${at}: ${String(outcome)}`),
    '',
    input ?? 'The event is no longer in the log.',
    ...(cut ? [style.yellow('(the text may be longer; this is what is kept)')] : []),
  ]
  return `${lines.join('\n')}\n`
}

export function outcomesText(
  { dry_run: dryRun, results }: { readonly dry_run: boolean; readonly results: readonly DeadOutcome[] },
  style: Style,
): string {
  const lines = results.map(({ id, outcome, reason, place, alsoFolded, event }) => {
    const verdict = outcome === 'rejected' ? style.red(outcome) : style.green(outcome)
    const why = reason === undefined ? '' : `: ${reason}${place ? ` at ${place}` : ''}`
    const more =
      alsoFolded === undefined ? '' : style.yellow(` (${alsoFolded.join(', ')} folded the event already)`)
    const copy = dryRun && event !== undefined ? `\n  ${event}` : ''
    return `${id}  ${dryRun && outcome === 'accepted' ? 'would be ' : ''}${verdict}${why}${more}${copy}\n`
  })
  const count = (wanted: DeadOutcome['outcome']) => results.filter(({ outcome }) => outcome === wanted).length
  const sum = `${count('accepted')} accepted, ${count('duplicate')} duplicate, ${count('rejected')} rejected`
  return `${lines.join('')}${sum}${dryRun ? ' (dry run: nothing was sent)' : ''}\n`
}
