/**
 * What a person sees of an ingest: one line with share, rate and time left while it runs, and the outcome at its end.
 * Also keeps the pace that was asked for. State: when it began, what was sent since, and the rate of the last seconds.
 */

import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RefoldError } from '../model/errors.ts'
import type { Batch } from './event-file.ts'
import type { IngestProgress } from './ingest-progress.ts'
import type { IngestAnswer, RejectionGroup } from './send-batch.ts'
import type { Cli, Terminal } from './terminal.ts'

export interface IngestMeter {
  /** Line within which the file ended, where somebody is still writing it. */
  readonly unfinishedLine: number | undefined
  /** Said with the first batch that is sent, if one is. */
  note(text: string): void
  unfinished(line: number): void
  sent(batch: Batch, answer: IngestAnswer): void
  waiting(reason: RefoldError, delayMs: number): void
  /** Waits until sending so many more events keeps to the rate. */
  pace(events: number, rate: number | undefined, signal: AbortSignal): Promise<void>
  /** Ends early, without a word, when the signal aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
  readonly totals: { readonly events: number; readonly seconds: number }
}

const rateWindowMs = 5_000

export function createIngestMeter(terminal: Terminal, file: string, stream: string): IngestMeter {
  const beganMs = performance.now()
  const style = terminal.talkStyle
  const route = `${basename(file)} → ${stream}`
  const recent: { atMs: number; events: number; share: number }[] = []
  let events = 0
  let rejected = 0
  let firstShare: number | undefined
  let unfinishedLine: number | undefined
  let noted: string | undefined
  const sleep = (delayMs: number, signal: AbortSignal): Promise<void> =>
    delay(delayMs, undefined, { signal }).catch(() => {})
  return {
    get unfinishedLine() {
      return unfinishedLine
    },
    get totals() {
      return { events, seconds: (performance.now() - beganMs) / 1_000 }
    },
    note(text) {
      noted = text
    },
    unfinished(line) {
      unfinishedLine = line
    },
    sent(batch, answer) {
      const atMs = performance.now()
      if (noted !== undefined) terminal.talk(style.dim(noted))
      noted = undefined
      events += batch.events
      rejected += answer.rejected.length
      firstShare ??= batch.share
      recent.push({ atMs, events, share: batch.share ?? 0 })
      while (recent.length > 2 && recent[0]!.atMs < atMs - rateWindowMs) recent.shift()
      const first = recent.length > 1 ? recent[0]! : { atMs: beganMs, events: 0, share: firstShare ?? 0 }
      const seconds = Math.max(0.001, (atMs - first.atMs) / 1_000)
      const share = batch.share
      const shareRate = share === undefined ? 0 : (share - first.share) / seconds
      const parts = [
        route,
        share === undefined ? undefined : `${Math.floor(share * 100)}%`,
        `${grouped(events)} events`,
        `${grouped(Math.round((events - first.events) / seconds))}/s`,
        share === undefined || shareRate <= 0 ? undefined : `${duration((1 - share) / shareRate)} left`,
        rejected === 0 ? undefined : `${grouped(rejected)} rejected`,
      ]
      terminal.progress(parts.filter((part) => part !== undefined).join('  '))
    },
    waiting(reason, delayMs) {
      terminal.progress(`${route}  waits ${(delayMs / 1_000).toFixed(1)} s: ${reason.message}`)
    },
    async pace(count, rate, signal) {
      if (rate === undefined) return
      const dueMs = beganMs + (events / rate) * 1_000
      if (count > 0 && dueMs > performance.now()) await sleep(dueMs - performance.now(), signal)
    },
    sleep,
  }
}

export interface IngestOutcome {
  readonly file: string
  readonly stream: string
  /** Counts over all runs. */
  readonly progress: IngestProgress
  readonly cut: number | undefined
  readonly rejections: readonly RejectionGroup[]
  readonly stopped: boolean
  readonly json: boolean
}

export async function reportIngest(cli: Cli, meter: IngestMeter, outcome: IngestOutcome): Promise<void> {
  const { terminal } = cli
  const { progress, stopped } = outcome
  const { events, seconds } = meter.totals
  terminal.endProgress()
  if (outcome.json) {
    const { accepted, duplicates, rejected, line } = progress
    const body = {
      file: outcome.file,
      stream: outcome.stream,
      done: !stopped && meter.unfinishedLine === undefined,
      line: line - 1,
      sent: events,
      seconds: Number(seconds.toFixed(3)),
      total: { accepted, duplicates, rejected },
      cut: outcome.cut ?? null,
      rejections: outcome.rejections,
    }
    return terminal.data(`${JSON.stringify(body)}\n`)
  }
  const style = terminal.talkStyle
  if (events === 0 && !stopped) {
    terminal.talk(
      `${style.green('✓')} nothing new in ${outcome.file}: ${grouped(progress.line - 1)} lines were sent before`,
    )
  } else {
    const rate = `${grouped(Math.round(events / Math.max(seconds, 0.001)))}/s`
    const mark = stopped ? style.yellow('■ stopped:') : style.green('✓')
    terminal.talk(
      `${mark} ${counted(events, 'event')} from ${outcome.file} to stream "${outcome.stream}" in ${seconds.toFixed(1)} s, ${rate}`,
    )
  }
  const counts = [
    `accepted ${grouped(progress.accepted)}`,
    `duplicates ${grouped(progress.duplicates)}`,
    `rejected ${grouped(progress.rejected)}`,
    ...(outcome.cut === undefined ? [] : [`cut ${outcome.cut}`]),
  ]
  terminal.talk(style.dim(`  ${counts.join(' · ')}`))
  for (const group of outcome.rejections) reportGroup(terminal, outcome.file, group)
  if (meter.unfinishedLine !== undefined) {
    terminal.talk(
      style.yellow(`  line ${meter.unfinishedLine} ends in the middle; it was left for the next run`),
    )
  }
  if (stopped) terminal.talk('  Run the same command again to go on.')
}

function reportGroup(terminal: Terminal, file: string, group: RejectionGroup): void {
  const style = terminal.talkStyle
  terminal.talk(`  ${style.red(`${grouped(group.count)} × ${group.code}`)} ${group.meaning}`)
  for (const { line, reason, place } of group.examples) {
    terminal.talk(style.dim(`    ${file}:${line}${place === '' ? '' : ` ${place}`}: ${reason}`))
  }
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** `1234567` as `1,234,567`. */
export function grouped(value: number): string {
  return value.toLocaleString('en-US')
}

/** `75` as `1:15`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const [hours, minutes] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60)]
  const tail = String(whole % 60).padStart(2, '0')
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${tail}` : `${minutes}:${tail}`
}
