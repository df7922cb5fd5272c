import { apimSkuType, endpointType } from 'types.bicep'

@description('Name of the service.')
param name string
@description('Region.')
param location string
@description('Tags.')
param tags object
@description('Tier.')
param sku apimSkuType
@description('Address that the service shows as its publisher.')
param publisherEmail string
@description('User-assigned identity.')
param identityId string
@description('Its client id.')
param identityClientId string
@description('The Azure OpenAI resources.')
param endpoints endpointType[]
@description('Deployment that the old name chat stands for.')
param chatDeployment string
@description('Deployment that the old name embedding stands for.')
param embeddingDeployment string
@description('Client keys, name=key, comma separated; empty: none.')
@secure()
param clientApiKeys string
@description('Tenants whose tokens are accepted, comma separated.')
param entraTenantIds string
@description('Who of them may call; empty: everybody.')
param entraAllowedClients string
@description('Application Insights.')
param insightsId string
@description('Where it takes telemetry.')
param connectionString string

var tenantIds = map(split(entraTenantIds, ','), id => toLower(trim(id)))
// `name=id` or `id`.
var allowedIds = empty(entraAllowedClients)
  ? []
  : map(split(entraAllowedClients, ','), item => toLower(trim(last(split(item, '=')))))
// A key may have an equals sign in it.
var pairs = map(empty(clientApiKeys) ? [] : split(clientApiKeys, ','), pair => {
  name: trim(split(pair, '=')[0])
  key: trim(substring(pair, indexOf(pair, '=') + 1))
})
// By the key, not by its place: a subscription stays when its key leaves the list, and no two may have one key.
var clients = map(pairs, pair => {
  id: 'client-key-${uniqueString(resourceGroup().id, pair.key)}'
  name: pair.name
  key: pair.key
})
// `,a,b,`, so that one can be looked for with its commas; empty when there is none.
var subscriptionList = empty(clients) ? '' : ',${join(map(clients, client => client.id), ',')},'
var allowedList = empty(allowedIds) ? '' : ',${join(allowedIds, ',')},'

var tenantPolicy = loadTextContent('../policies/tenant.xml')
var validations = join(map(tenantIds, id => replace(tenantPolicy, '@@TENANT@@', id)), '')

var fragments = [
  {
    name: 'openai-callers'
    description: 'Who may call.'
    value: reduce(
      [
        { token: '@@VALIDATIONS@@', text: validations }
        { token: '@@TENANTS@@', text: ',${join(tenantIds, ',')},' }
        { token: '@@ALLOWED@@', text: allowedList }
        { token: '@@SUBSCRIPTIONS@@', text: subscriptionList }
      ],
      loadTextContent('../policies/callers.xml'),
      (text, item) => replace(string(text), item.token, item.text)
    )
  }
  {
    name: 'openai-paths'
    description: 'What is asked.'
    value: replace(
      replace(loadTextContent('../policies/paths.xml'), '@@CHAT@@', chatDeployment),
      '@@EMBEDDING@@',
      embeddingDeployment
    )
  }
  {
    name: 'openai-exhausted'
    description: 'What callers get when every resource is throttled.'
    value: loadTextContent('../policies/exhausted.xml')
  }
]

// Each resource once, and at least one retry: the policy language has no zero.
var retries = string(max(1, length(endpoints) - 1))
var apiPolicyText = replace(
  replace(loadTextContent('../policies/openai.xml'), '@@RETRIES@@', retries),
  '@@IDENTITY@@',
  identityClientId
)

resource service 'Microsoft.ApiManagement/service@2024-05-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: sku, capacity: 1 }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    publisherEmail: publisherEmail
    publisherName: 'Azure OpenAI balancer'
  }
}

resource backend 'Microsoft.ApiManagement/service/backends@2024-05-01' = [
  for endpoint in endpoints: {
    parent: service
    name: endpoint.name
    properties: {
      url: endpoint.url
      protocol: 'http'
      circuitBreaker: {
        rules: [
          {
            name: 'throttled-or-failing'
            tripDuration: 'PT10S'
            // A throttled one rests for as long as it said.
            acceptRetryAfter: true
            failureCondition: {
              count: 1
              interval: 'PT10S'
              // Not 500: one odd request would close every resource, one after the other.
              statusCodeRanges: [
                { min: 429, max: 429 }
                { min: 502, max: 504 }
              ]
              errorReasons: ['BackendConnectionFailure']
            }
          }
        ]
      }
    }
  }
]

resource pool 'Microsoft.ApiManagement/service/backends@2024-05-01' = {
  parent: service
  name: 'openai-pool'
  properties: {
    type: 'Pool'
    pool: {
      services: [
        for (endpoint, i) in endpoints: { id: backend[i].id, priority: endpoint.priority, weight: endpoint.weight }
      ]
    }
  }
}

resource fragment 'Microsoft.ApiManagement/service/policyFragments@2024-05-01' = [
  for item in fragments: {
    parent: service
    name: item.name
    properties: {
      description: item.description
      format: 'xml'
      value: item.value
    }
  }
]

resource api 'Microsoft.ApiManagement/service/apis@2024-05-01' = {
  parent: service
  name: 'openai'
  properties: {
    displayName: 'Azure OpenAI'
    // At the root: clients are given the bare URL of the gateway.
    path: ''
    protocols: ['https']
    // A key that is sent is checked all the same; the policy refuses who has neither a key nor a token.
    subscriptionRequired: false
    subscriptionKeyParameterNames: { header: 'api-key', query: 'api-key' }
  }
}

resource operation 'Microsoft.ApiManagement/service/apis/operations@2024-05-01' = [
  for method in ['DELETE', 'GET', 'PATCH', 'POST', 'PUT']: {
    parent: api
    name: toLower(method)
    properties: { displayName: '${method} anything', method: method, urlTemplate: '/*' }
  }
]

resource apiPolicy 'Microsoft.ApiManagement/service/apis/policies@2024-05-01' = {
  parent: api
  name: 'policy'
  properties: { format: 'xml', value: apiPolicyText }
  dependsOn: [pool, fragment]
}

resource client 'Microsoft.ApiManagement/service/subscriptions@2024-05-01' = [
  for item in clients: {
    parent: service
    name: item.id
    properties: {
      displayName: item.name
      scope: api.id
      state: 'active'
      primaryKey: item.key
    }
  }
]

resource logger 'Microsoft.ApiManagement/service/loggers@2024-05-01' = {
  parent: service
  name: 'application-insights'
  properties: {
    loggerType: 'applicationInsights'
    resourceId: insightsId
    credentials: { connectionString: connectionString, identityClientId: identityClientId }
  }
}

// Neither bodies nor headers nor queries: those hold prompts, answers and credentials.
var nothing = {
  headers: []
  body: { bytes: 0 }
  dataMasking: { queryParams: [{ value: '*', mode: 'Hide' }] }
}

resource diagnostics 'Microsoft.ApiManagement/service/diagnostics@2024-05-01' = {
  parent: service
  name: 'applicationinsights'
  properties: {
    loggerId: logger.id
    alwaysLog: 'allErrors'
    metrics: true
    sampling: { samplingType: 'fixed', percentage: 100 }
    frontend: { request: nothing, response: nothing }
    backend: { request: nothing, response: nothing }
  }
}

@description('Its address.')
output gatewayUrl string = service.properties.gatewayUrl
