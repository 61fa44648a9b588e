/** What the thread of a version's fold is started with. Pure. */

import type { CodePlace } from '../../define/logic-modules.ts'
import type { StreamDef } from '../../model/schema.ts'
import type { GroupStage, ViewPlan } from '../../plan/plan.ts'
import { must } from '../../std/assert.ts'
import { soleStage } from '../merged-relation.ts'
import { fieldsOf } from './event-rows.ts'
import type { FoldThreadStart } from './fold-thread-runner.ts'

const STEP_MS = 50
const MEMORY_BYTES = 256_000_000

/** `stream` is as the plan reads it. */
export function startOf(
  { view, plan }: { readonly view: string; readonly plan: ViewPlan },
  stream: StreamDef,
  place: CodePlace | undefined,
): FoldThreadStart {
  const stage = soleStage(plan) as GroupStage
  const code = must(stage.code, 'the stage has code')
  return {
    view,
    code,
    fields: fieldsOf(stream, stage.source.fields),
    place: must(place, 'the engine knows where code is stored'),
    memoryBytes: plan.limits?.memoryBytes ?? MEMORY_BYTES,
    stepMs: plan.limits?.stepMs ?? STEP_MS,
  }
}
