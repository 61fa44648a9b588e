/**
 * The steps that `npm test` and `npm run check` are made of: the type checker, the linter and formatter, and the
 * test runner. Each prints one line, and its findings only when it fails. No state: a step returns its counts.
 */

import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import path from 'node:path'
import { run } from 'node:test'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: readonly string[]
}

export function total(counts: readonly Counts[]): Counts {
  return {
    passed: counts.reduce((sum, one) => sum + one.passed, 0),
    failed: counts.reduce((sum, one) => sum + one.failed, 0),
    skipped: counts.flatMap((one) => one.skipped),
  }
}

export function types(): Promise<Counts> {
  return toolStep('types', 'node_modules/typescript/bin/tsc', ['-p', 'tsconfig.json'])
}

export function lintAndFormat(): Promise<Counts> {
  return toolStep('lint and format', 'node_modules/@biomejs/biome/bin/biome', [
    'ci',
    '--error-on-warnings',
    '--colors=off',
    '.',
  ])
}

/** Test files in a fixed order, so that two runs read alike. */
export function testFiles(patterns: readonly string[]): readonly string[] {
  return globSync(patterns, { cwd: root })
    .sort()
    .map((file) => path.join(root, file))
}

/** Two files at a time: the machine this must pass on has two cores. */
export async function tests(files: readonly string[]): Promise<Counts> {
  const reports = new Map<string, FileReport>()
  const stream = run({
    files: [...files],
    concurrency: 2,
    // Not a judgement on speed: a test that hangs must not hang the run for ever.
    timeout: 20 * 60_000,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  for await (const event of stream) {
    if (event.type === 'test:pass' || event.type === 'test:fail') note(reports, event)
    if (event.type === 'test:stderr' || event.type === 'test:stdout') {
      reportOf(reports, event.data.file).output.push(event.data.message)
    }
    if (event.type === 'test:summary' && event.data.file !== undefined) printFile(reports, event.data)
  }
  const all = [...reports.values()]
  return {
    passed: all.reduce((sum, one) => sum + one.passed, 0),
    failed: all.reduce((sum, one) => sum + one.failures.length, 0),
    skipped: all.flatMap((one) => one.skipped),
  }
}

interface FileReport {
  passed: number
  readonly failures: string[]
  readonly skipped: string[]
  readonly output: string[]
}

function reportOf(reports: Map<string, FileReport>, file: string | undefined): FileReport {
  const key = file === undefined ? '(unknown)' : path.relative(root, file).replaceAll('\\', '/')
  const known = reports.get(key)
  if (known !== undefined) return known
  const fresh: FileReport = { passed: 0, failures: [], skipped: [], output: [] }
  reports.set(key, fresh)
  return fresh
}

interface Outcome {
  readonly type: 'test:pass' | 'test:fail'
  readonly data: {
    readonly name: string
    readonly file?: string | undefined
    readonly skip?: string | boolean | undefined
    readonly todo?: string | boolean | undefined
    readonly details: { readonly type?: string | undefined; readonly error?: Error | undefined }
  }
}

function note(reports: Map<string, FileReport>, event: Outcome): void {
  const { data } = event
  const report = reportOf(reports, data.file)
  if (event.type === 'test:fail' && data.todo === undefined) {
    const cause = data.details.error?.cause
    const shown = shownError(cause instanceof Error ? cause : (data.details.error ?? new Error('failed')))
    // A suite fails because a test in it did, and that one is shown already.
    if (data.details.type === 'suite' && /subtests? failed/.test(shown)) return
    report.failures.push(`${data.name}\n${shown.replace(/^/gm, '      ')}`)
    return
  }
  if (data.skip !== undefined && data.skip !== false) {
    const reason = typeof data.skip === 'string' && data.skip !== '' ? data.skip : 'no reason given'
    report.skipped.push(`${data.name}: ${reason}`)
    return
  }
  if (data.details.type !== 'suite') report.passed += 1
}

/** The stack without the runner's own frames. */
function shownError(error: Error): string {
  const lines = (error.stack ?? error.message).split('\n')
  return lines.filter((line) => !/^\s+at .*\(?node:internal/.test(line)).join('\n')
}

function printFile(
  reports: Map<string, FileReport>,
  data: { readonly file?: string | undefined; readonly duration_ms: number; readonly success: boolean },
): void {
  const report = reportOf(reports, data.file)
  const name = path.relative(root, data.file ?? '').replaceAll('\\', '/')
  const seconds = (data.duration_ms / 1000).toFixed(1)
  if (!data.success && report.failures.length === 0) report.failures.push('the file itself failed')
  const ok = report.failures.length === 0
  console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}  ${report.passed} passed  ${seconds} s`)
  for (const failure of report.failures) console.log(`    ✗ ${failure}`)
  for (const skip of report.skipped) console.log(`    - skipped: ${skip}`)
  if (!ok && report.output.length > 0) console.log(report.output.join('').replace(/^/gm, '    | '))
}

/** Runs a tool of node_modules in this same Node, so that no PATH decides which one. */
function toolStep(name: string, script: string, args: readonly string[]): Promise<Counts> {
  const started = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path.join(root, script), ...args], { cwd: root })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('close', (code) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      console.log(`${code === 0 ? 'ok  ' : 'FAIL'} ${name}  ${seconds} s`)
      if (code !== 0) process.stdout.write(Buffer.concat(chunks))
      resolve({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: [] })
    })
  })
}
