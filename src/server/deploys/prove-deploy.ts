/**
 * The proof before a cutover: old and new version of each changed view are compared, and the project's checks run over
 * the new versions, all at one cut at which all of them stand (law: equal cuts). Live views go on meanwhile. No state.
 */

import { plannedFunction } from '../../define/function-def.ts'
import type { CheckResult, CompareSummary, NamedEvent } from '../../deploy/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { cutoverChecks, runChecks } from '../checks/run-checks.ts'
import { compareVersions } from '../compare/compare-versions.ts'
import { earliestDifference } from '../compare/earliest-difference.ts'
import { withFirstEvents } from '../compare/first-difference.ts'
import type { ServerContext } from '../context.ts'
import type { DeployParts } from './deploy-parts.ts'
import { type Deploy, isMoved } from './deploy-record.ts'
import { redOfProof } from './prove-run.ts'
import { type ProofOrder, proveRuns } from './prove-runs.ts'

export interface Proof {
  readonly cut: CommitSeq
  readonly compares: readonly CompareSummary[]
  readonly checks: readonly CheckResult[]
  /** Why the gate is red, in one sentence; undefined when it is green. */
  readonly red: string | undefined
}

/** Rows that are kept with the deploy, of each view. */
const SAMPLE_ROWS = 20
/** How long is looked for the first event that makes a difference. */
const FIRST_EVENT_MS = 60_000

export async function proveDeploy(parts: DeployParts, deploy: Deploy, order: ProofOrder): Promise<Proof> {
  const { context } = parts
  const { project } = deploy.request
  const views = deploy.outcome.views ?? []
  const { signal } = order
  const { cut, proofs } = await proveRuns(parts, deploy, order)
  const compares: CompareSummary[] = []
  for (const { view, from, to } of views.filter(isMoved)) {
    if (from === undefined || to === undefined) continue
    const expect = project.views.find(({ name }) => name === view)?.expect ?? []
    const question = { view, from, to, cut, expect, folded: false, sampleRows: SAMPLE_ROWS, signal }
    compares.push(await compareVersions(context, question))
  }
  const versions = views.flatMap(({ view, to }) => (to === undefined ? [] : [[view, to] as const]))
  const checks = await runChecks(context, {
    checks: cutoverChecks(project.checks ?? []),
    root: project.root,
    functions: (project.functions ?? []).map(plannedFunction),
    cut,
    versions: Object.fromEntries(versions),
    compares,
    deploy: deploy.id,
    signal,
  })
  const redCheck = redOf(checks)
  const { named, first } =
    redCheck === undefined
      ? { named: compares, first: undefined }
      : await nameFirstEvents(context, compares, signal)
  const red = [
    ...proofs.flatMap((proof) => redOfProof(proof) ?? []),
    ...(redCheck === undefined ? [] : [redCheck + firstEventText(first)]),
  ]
  return {
    ...{ cut, checks, compares: [...proofs.map(({ compare }) => compare), ...named] },
    red: red.length === 0 ? undefined : red.join('; '),
  }
}

interface FirstEvent {
  readonly view: string
  readonly event: NamedEvent
}

/** Behind a red gate: the first event that makes a difference, as far as it is found in time, and that of a row. */
async function nameFirstEvents(
  context: ServerContext,
  compares: readonly CompareSummary[],
  signal: AbortSignal,
): Promise<{ readonly named: readonly CompareSummary[]; readonly first: FirstEvent | undefined }> {
  const late = new AbortController()
  const cancel = context.clock.after(FIRST_EVENT_MS, () => late.abort())
  const inTime = AbortSignal.any([signal, late.signal])
  try {
    const named: CompareSummary[] = []
    const firsts: FirstEvent[] = []
    for (const summary of compares) {
      const { view, changed, added, removed } = summary
      const differs = changed + added + removed > 0
      const shown = differs
        ? await withFirstEvents(context, summary, 1, inTime).catch(() => summary)
        : summary
      named.push(shown)
      const ofRow = shown.sample.find((row) => row.first !== undefined)?.first
      const earliest = differs
        ? await earliestDifference(context, summary, inTime).catch(() => undefined)
        : undefined
      const event = earliest ?? ofRow
      if (event !== undefined) firsts.push({ view, event })
    }
    return { named, first: firsts.sort((a, b) => inOrder(a.event, b.event))[0] }
  } finally {
    cancel()
  }
}

function inOrder(a: NamedEvent, b: NamedEvent): number {
  return a.commit - b.commit || a.index - b.index
}

function firstEventText(found: FirstEvent | undefined): string {
  if (found === undefined) return ''
  const { view, event } = found
  const { stream, partition, offset, commit, index } = event
  return `; view "${view}" first differs with event ${offset} of partition ${partition} of stream "${stream}" (${commit}.${index})`
}

function redOf(checks: readonly CheckResult[]): string | undefined {
  const red = checks.filter(({ verdict }) => verdict !== 'green')
  const [first] = red
  if (first === undefined) return undefined
  const more = red.length > 1 ? `, and ${red.length - 1} more` : ''
  return `check "${first.name}" is ${first.verdict} at cut ${first.cut}: ${first.text}${more}`
}
