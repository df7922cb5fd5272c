@description('Resource token.')
param token string
@description('Region.')
param location string
@description('Tags.')
param tags object
@description('Object id of the identity that sends telemetry.')
param principalId string

var metricsPublisher = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '3913510d-42f4-4e42-8a64-420c390055eb')

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'log-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 30
    features: { disableLocalAuth: true }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    // Only the identity may write: the connection string is no secret then.
    DisableLocalAuth: true
  }
}

resource access 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, metricsPublisher)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: metricsPublisher
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.id
@description('Name of the workspace.')
output workspaceName string = workspace.name
@description('Resource id of Application Insights.')
output insightsId string = insights.id
@description('Where Application Insights takes telemetry.')
output connectionString string = insights.properties.ConnectionString
