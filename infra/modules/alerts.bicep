@description('Resource token.')
param token string
@description('Region.')
param location string
@description('Tags.')
param tags object
@description('Log Analytics workspace that the queries read.')
param workspaceId string
@description('Address that is told.')
param email string

var rules = [
  {
    name: 'all-throttled'
    title: 'Every backend is throttled'
    description: 'Callers get 429 because no backend had quota left: raise OPENAI_CAPACITY, add a region, or limit clients.'
    query: loadTextContent('../queries/all-throttled.kql')
    severity: 2
    measure: 'requests'
    threshold: 0
  }
  {
    name: 'quarantined'
    title: 'A backend refuses the balancer'
    description: 'A backend answered 401 or 403 to the balancer\'s own credential: check the role of its identity.'
    query: loadTextContent('../queries/quarantined.kql')
    severity: 1
    measure: ''
    threshold: 0
  }
  {
    name: 'failed-answers'
    title: 'Callers get 5xx'
    description: 'More than five requests in five minutes ended in a 5xx or broke off.'
    query: loadTextContent('../queries/failed-answers.kql')
    severity: 1
    measure: 'requests'
    threshold: 5
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'balancer'
    enabled: true
    emailReceivers: [{ name: 'email', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: '${rule.name}-${token}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT5M'
      criteria: {
        allOf: [
          union(
            {
              query: rule.query
              timeAggregation: empty(rule.measure) ? 'Count' : 'Total'
              operator: 'GreaterThan'
              threshold: rule.threshold
              failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
            },
            empty(rule.measure) ? {} : { metricMeasureColumn: rule.measure }
          )
        ]
      }
      autoMitigate: true
      // Tables of a new workspace are not there until the first telemetry.
      skipQueryValidation: true
      actions: { actionGroups: [people.id] }
    }
  }
]
