/** Writes metrics in Prometheus' text exposition format, version 0.0.4. Pure. */

import type { Metric } from './core.ts'

export const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8'

/** Metrics of one name are written as one group, as the format demands, whoever they come from. */
export function prometheusText(metrics: readonly Metric[]): string {
  const groups = new Map<string, Metric[]>()
  for (const metric of metrics) {
    const group = groups.get(metric.name)
    if (group === undefined) groups.set(metric.name, [metric])
    else group.push(metric)
  }
  let text = ''
  for (const [name, group] of groups) {
    text += `# HELP ${name} ${escapeHelp(group[0]!.help)}\n# TYPE ${name} ${group[0]!.type}\n`
    for (const metric of group) {
      for (const sample of metric.samples) {
        text += `${name}${sample.suffix ?? ''}${labelText(sample.labels)} ${numberText(sample.value)}\n`
      }
    }
  }
  return text
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  if (value === Number.NEGATIVE_INFINITY) return '-Inf'
  return String(value)
}
