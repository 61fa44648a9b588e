/**
 * Tries a fold in TypeScript before a version is made with it. State: the folds that were found good in this process, by
 * everything that decides what they do.
 */

import type { CodePlace } from '../../define/logic-modules.ts'
import { RefoldError } from '../../model/errors.ts'
import type { StreamDef } from '../../model/schema.ts'
import type { GroupStage, ViewPlan } from '../../plan/plan.ts'
import { soleStage } from '../merged-relation.ts'
import type { FoldFault } from './check-steps.ts'
import { FoldThread, FoldThreadDied } from './fold-thread-runner.ts'
import { startOf } from './start-of.ts'

const good = new Set<string>()
/** Generated events are not those that a limit was set for. */
const STEP_MS = 2_000

/** What is wrong with the fold of a plan, if something is. */
export async function foldFault(
  view: { readonly view: string; readonly plan: ViewPlan },
  stream: StreamDef,
  place: CodePlace,
): Promise<FoldFault | undefined> {
  const { code } = soleStage(view.plan) as GroupStage
  const known = JSON.stringify([code, stream.schema])
  if (good.has(known)) return undefined
  const thread = new FoldThread({ ...startOf(view, stream, place), stepMs: STEP_MS })
  try {
    const fault = await thread.call('check', null)
    if (fault === null) good.add(known)
    return fault ?? undefined
  } catch (error) {
    if (error instanceof FoldThreadDied) {
      return { code: 'LOGIC_INVALID', message: `\`${error.at.phase}\` on generated events: ${error.message}` }
    }
    const message = error instanceof Error ? error.message : String(error)
    const impure = /logic may not use/.test(message)
    if (error instanceof RefoldError && error.code === 'LOGIC_MISSING') throw error
    return { code: impure ? 'LOGIC_IMPURE' : 'LOGIC_INVALID', message }
  } finally {
    await thread.stop()
  }
}
