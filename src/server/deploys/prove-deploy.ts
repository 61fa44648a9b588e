/**
 * The proof before a cutover: old and new version of each changed view are compared, and the project's checks run over
 * the new versions, all at one cut at which all of them stand (law: equal cuts). Live views go on meanwhile. No state.
 */

import type { CheckResult, CompareSummary } from '../../deploy/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { cutoverChecks, runChecks } from '../checks/run-checks.ts'
import { compareVersions } from '../compare/compare-versions.ts'
import { withFirstEvents } from '../compare/first-difference.ts'
import type { ServerContext } from '../context.ts'
import type { Deploy } from './deploy-record.ts'

export interface Proof {
  readonly compares: readonly CompareSummary[]
  readonly checks: readonly CheckResult[]
  /** Why the gate is red, in one sentence; undefined when it is green. */
  readonly red: string | undefined
}

/** Rows that are kept with the deploy, of each view. */
const SAMPLE_ROWS = 20
/** How long is looked for the first event that makes a difference. */
const FIRST_EVENT_MS = 60_000

export async function proveDeploy(
  context: ServerContext,
  deploy: Deploy,
  cut: CommitSeq,
  signal: AbortSignal,
): Promise<Proof> {
  const { project } = deploy.request
  const views = deploy.outcome.views ?? []
  const compares: CompareSummary[] = []
  for (const { view, from, to } of views) {
    if (from === undefined || to === undefined) continue
    const expect = project.views.find(({ name }) => name === view)?.expect ?? []
    const question = { view, from, to, cut, expect, folded: false, sampleRows: SAMPLE_ROWS, signal }
    compares.push(await compareVersions(context, question))
  }
  const versions = views.flatMap(({ view, to }) => (to === undefined ? [] : [[view, to] as const]))
  const checks = await runChecks(context, {
    checks: cutoverChecks(project.checks ?? []),
    root: project.root,
    cut,
    versions: Object.fromEntries(versions),
    compares,
    deploy: deploy.id,
    signal,
  })
  const red = redOf(checks)
  if (red === undefined) return { compares, checks, red }
  const named = await nameFirstEvents(context, compares, signal)
  return { compares: named, checks, red: red + firstEventText(named) }
}

/** Behind a red gate each view says with which event its versions first differ, as far as that is found in time. */
async function nameFirstEvents(
  context: ServerContext,
  compares: readonly CompareSummary[],
  signal: AbortSignal,
): Promise<readonly CompareSummary[]> {
  const late = new AbortController()
  const cancel = context.clock.after(FIRST_EVENT_MS, () => late.abort())
  try {
    const named: CompareSummary[] = []
    for (const summary of compares) {
      const inTime = AbortSignal.any([signal, late.signal])
      named.push(await withFirstEvents(context, summary, 1, inTime).catch(() => summary))
    }
    return named
  } finally {
    cancel()
  }
}

function firstEventText(compares: readonly CompareSummary[]): string {
  for (const { view, sample } of compares) {
    const first = sample.find((row) => row.first !== undefined)?.first
    if (first === undefined) continue
    const { stream, partition, offset, commit, index } = first
    return `; view "${view}" first differs with event ${offset} of partition ${partition} of stream "${stream}" (${commit}.${index})`
  }
  return ''
}

function redOf(checks: readonly CheckResult[]): string | undefined {
  const red = checks.filter(({ verdict }) => verdict !== 'green')
  const [first] = red
  if (first === undefined) return undefined
  const more = red.length > 1 ? `, and ${red.length - 1} more` : ''
  return `check "${first.name}" is ${first.verdict} at cut ${first.cut}: ${first.text}${more}`
}
