/**
 * `refold deploy --json` as a program follows it: one line whenever the deploy changed, drawn into the picture together
 * with what the reader sees meanwhile. State: the newest line.
 */

import type { LiveInput } from './live-input.ts'
import { bar } from './picture.ts'
import { at, pause, refold, type Stage, shown } from './stage.ts'

interface Progress {
  readonly done: number
  readonly total: number
  readonly percent: number
  readonly rate: number
  readonly etaMs?: { readonly low: number; readonly likely: number; readonly high: number }
}

interface ComparedRow {
  readonly old?: unknown
  readonly new?: unknown
  readonly first?: { readonly event: unknown }
}

/** What the demo reads of a deploy; docs/http-api.md has all of it. */
export interface DeployLine {
  readonly id: number
  readonly state: string
  readonly reason?: string
  readonly cutoverAt?: number
  readonly plan: {
    readonly views: readonly { readonly estimate?: { readonly seconds: { readonly likely: number } } }[]
  }
  readonly views: readonly {
    readonly view: string
    readonly from?: string
    readonly to?: string
    readonly progress?: Progress
    readonly compare?: {
      readonly cut: number
      readonly equal: number
      readonly changed: number
      readonly added: number
      readonly removed: number
      readonly causes: { readonly logic: number }
      readonly sample: readonly ComparedRow[]
    }
  }[]
  readonly checks: readonly { readonly name: string; readonly verdict: string }[]
  readonly outcome?: { readonly seconds: number; readonly events: number; readonly rate: number }
}

export interface Deployed {
  readonly info: DeployLine
  /** From the command to its end. */
  readonly seconds: number
}

/** Deploys the project as it is; returns when it is live, refused, or otherwise over. */
export async function deployAndWatch(stage: Stage, input: LiveInput): Promise<Deployed> {
  const beganMs = performance.now()
  let newest: DeployLine | undefined
  let over = false
  const line = (text: string) => {
    const parsed = JSON.parse(text) as DeployLine | { readonly plan: unknown }
    if ('id' in parsed) newest = parsed
  }
  const drawing = (async () => {
    while (!over) {
      if (newest !== undefined) draw(stage, newest, input)
      await pause(150)
    }
  })()
  try {
    // 6: a gate is red.
    await refold(stage, ['deploy', '--yes', '--json'], { codes: [0, 6], line })
  } finally {
    over = true
    await drawing
  }
  if (newest === undefined) throw new Error('refold deploy said nothing')
  return { info: newest, seconds: (performance.now() - beganMs) / 1000 }
}

function draw(stage: Stage, { id, state, views }: DeployLine, { figures }: LiveInput): void {
  const progress = views.find((one) => one.progress !== undefined)?.progress
  const doing = `deploy ${id} ${state.replace('_', ' ')}`
  const building = state === 'planned' || state === 'building'
  const built = progress === undefined || !building ? '' : buildText(progress)
  const reads = `${shown(figures.answers)} reads, ${figures.errors.length} errors, at cut ${figures.cut}, lag at most ${Math.round(figures.lagMsMax)} ms`
  stage.picture.show({
    plain: `${at(stage)} ${doing}${built === '' ? '' : `, ${built}`}; ${reads}`,
    lines: [
      '',
      `  ${bar(building ? (progress?.percent ?? 0) / 100 : 1)}  ${doing}`,
      `  ${built}`,
      `  meanwhile: ${shown(stage.counts.sent)} events sent, ${reads}`,
      '',
    ],
  })
}

function buildText({ done, total, rate, etaMs }: Progress): string {
  const left =
    etaMs === undefined || done >= total
      ? ''
      : `, ${seconds(etaMs.likely)} left (${seconds(etaMs.low)} to ${seconds(etaMs.high)})`
  return `${shown(done)} of ${shown(total)} events, ${shown(Math.round(rate))}/s${left}`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
