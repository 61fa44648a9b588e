/**
 * The proof before a cutover: old and new version of each changed view are compared, and the project's checks run over
 * the new versions, all at one cut at which all of them stand (law: equal cuts). Live views go on meanwhile. No state.
 */

import type { CheckResult, CompareSummary } from '../../deploy/types.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { cutoverChecks, runChecks } from '../checks/run-checks.ts'
import { compareVersions } from '../compare/compare-versions.ts'
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
  return { compares, checks, red: redOf(checks) }
}

function redOf(checks: readonly CheckResult[]): string | undefined {
  const red = checks.filter(({ verdict }) => verdict !== 'green')
  const [first] = red
  if (first === undefined) return undefined
  const more = red.length > 1 ? `, and ${red.length - 1} more` : ''
  return `check "${first.name}" is ${first.verdict} at cut ${first.cut}: ${first.text}${more}`
}
