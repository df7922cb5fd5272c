@description('Region.')
param location string
@description('Tags.')
param tags object
@description('Log Analytics workspace that the queries read.')
param workspaceId string

// docs/application-insights.md has the same queries.
var panels = [
  { title: 'Which resource is throttled now', query: loadTextContent('../queries/throttled-now.kql'), shownAs: 'table' }
  { title: 'What attempts came to', query: loadTextContent('../queries/attempts.kql'), shownAs: 'timechart' }
  { title: 'Who uses how much', query: loadTextContent('../queries/who-uses-how-much.kql'), shownAs: 'table' }
  { title: 'Why was this answer slow', query: loadTextContent('../queries/why-slow.kql'), shownAs: 'table' }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // Workbooks are named by a GUID.
  name: guid(workspaceId, 'balancer')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Azure OpenAI balancer'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: map(panels, (panel, i) => {
        type: 3
        name: 'panel${i + 1}'
        content: {
          version: 'KqlItem/1.0'
          title: panel.title
          query: panel.query
          size: 0
          queryType: 0
          resourceType: 'microsoft.operationalinsights/workspaces'
          crossComponentResources: [workspaceId]
          visualization: panel.shownAs
        }
      })
    })
  }
}
