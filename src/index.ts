/** What a project file imports from 'refold'. */

export { type CheckOptions, check, type Tolerance, type TruthRow } from './define/check.ts'
export { decimal, int64 } from './define/exact.ts'
export { type FoldContext, type FoldLimits, type FoldOptions, type FoldSpec, fold } from './define/fold.ts'
export { type Artefacts, type FunctionOptions, type FunctionSpec, fn } from './define/function.ts'
export { loadProject } from './define/load.ts'
export { project } from './define/project.ts'
export {
  type BatchSchedule,
  type HybridOptions,
  hybrid,
  kappa,
  type LambdaOptions,
  lambda,
} from './define/run.ts'
export type {
  CheckSpec,
  Duration,
  EventInputOf,
  EventOf,
  MergeOption,
  ProjectOptions,
  ProjectSpec,
  RunSpec,
  Size,
  StreamSpec,
  ViewSpec,
} from './define/spec.ts'
export { type StreamOptions, stream } from './define/stream.ts'
export type { CheckDef, LoadResult, ProjectDef, RunDef, ViewDef } from './define/types.ts'
export { type OneDefinition, type TwoDefinitions, type ViewOptions, view } from './define/view.ts'
export { RefoldError } from './model/errors.ts'
